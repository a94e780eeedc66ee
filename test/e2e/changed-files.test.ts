/**
 * Files of a model that change while it is served. All workers of a version serve the registered
 * content.
 */
import assert from 'node:assert/strict'
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { externalLocations } from '../../src/models/sources/external-data.ts'
import { httpProcesses } from '../helpers/http-processes.ts'
import { addModel, endlessModel, externalConstant, externalModel } from '../helpers/onnx-files.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer, unregisterAll } from '../helpers/shared-server.ts'
import { zipOf } from '../helpers/zip.ts'

/** Large enough not to be compared by its contents. */
const LARGE = 2 * 1024 * 1024

/** What the network adds to nothing, asked often enough to meet every worker. */
async function constants(server: TestServer, name = 'x'): Promise<unknown[]> {
  const answers = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const answer = await server.fetch(`/v2/models/${name}/infer`, {
        method: 'POST',
        body: '{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[0]}]}',
      })
      const body = (await json(answer)) as { outputs?: { data: number[] }[]; error?: string }
      return body.outputs?.[0]?.data[0] ?? `${answer.status} ${body.error ?? ''}`
    }),
  )
  return [...new Set(answers)]
}

interface Answer {
  readonly status: number
  readonly text: string
}

async function send(server: TestServer, method: string, route: string): Promise<Answer> {
  const answer = await server.manage(route, { method })
  return { status: answer.status, text: await answer.text() }
}

/** Sets the number of workers in each HTTP process. */
const scale = (server: TestServer, workers: number, name = 'x'): Promise<Answer> => {
  const all = workers * httpProcesses
  return send(server, 'PUT', `/models/${name}?min_worker=${all}&synchronous=true`)
}

/** A store with the model `x`, and what changes it to one that adds 2 instead of 1. */
interface Change {
  readonly title: string
  readonly lay: (store: string) => void
  readonly change: (store: string) => void
  /** What the refusal says. */
  readonly reason: RegExp
  /** What a new load answers after it; a refusal where it is absent. */
  readonly served?: number
}

const file = (store: string): string => path.join(store, 'x.onnx')
const layFile =
  (padding = 0) =>
  (store: string): void =>
    writeFileSync(file(store), addModel(1, { padding }))
const hasChanged = /"x\.onnx" has changed/

/** Puts a new file in the place of another one. */
function replace(location: string, contents: Buffer): void {
  writeFileSync(`${location}.new`, contents)
  renameSync(`${location}.new`, location)
}

/** Replaces what a link leads to in one step, as a deployment does. */
function swapLink(link: string, target: string): void {
  symlinkSync(target, `${link}.new`)
  renameSync(`${link}.new`, link)
}

const CHANGES: readonly Change[] = [
  {
    title: 'a file that is written to in its place',
    lay: layFile(),
    change: (store) => writeFileSync(file(store), addModel(2)),
    reason: hasChanged,
    served: 2,
  },
  {
    title: 'a file that another one is renamed to',
    lay: layFile(),
    change: (store) => {
      writeFileSync(path.join(store, 'new'), addModel(2))
      renameSync(path.join(store, 'new'), file(store))
    },
    reason: hasChanged,
    served: 2,
  },
  {
    title: 'a large file of the same size and time of writing, in its place',
    lay: layFile(LARGE),
    change: (store) => {
      const { atime, mtime } = statSync(file(store))
      writeFileSync(file(store), addModel(2, { padding: LARGE }))
      utimesSync(file(store), atime, mtime)
    },
    reason: hasChanged,
    served: 2,
  },
  {
    title: 'a file that is removed',
    lay: layFile(),
    change: (store) => unlinkSync(file(store)),
    reason: /"x\.onnx" can no longer be read \(ENOENT\)/,
  },
  {
    title: 'a file that becomes garbage',
    lay: layFile(),
    change: (store) => writeFileSync(file(store), 'garbage'),
    reason: hasChanged,
  },
  {
    title: 'weights beside the network of a folder',
    lay: (store) => {
      mkdirSync(path.join(store, 'x'))
      writeFileSync(path.join(store, 'x', 'model.onnx'), externalModel('weights.bin'))
      writeFileSync(path.join(store, 'x', 'weights.bin'), externalConstant(1))
    },
    change: (store) => replace(path.join(store, 'x', 'weights.bin'), externalConstant(2)),
    reason: /"weights\.bin" has changed/,
    served: 2,
  },
  {
    title: 'weights that a bare file names',
    lay: (store) => {
      writeFileSync(file(store), externalModel('1b4e28ba-2fa1'))
      writeFileSync(path.join(store, '1b4e28ba-2fa1'), externalConstant(1))
    },
    change: (store) => replace(path.join(store, '1b4e28ba-2fa1'), externalConstant(2)),
    reason: /"1b4e28ba-2fa1" has changed/,
    served: 2,
  },
  {
    title: 'a numbered version',
    lay: (store) => {
      mkdirSync(path.join(store, 'x', '3'), { recursive: true })
      writeFileSync(path.join(store, 'x', '3', 'model.onnx'), addModel(1))
    },
    change: (store) => writeFileSync(path.join(store, 'x', '3', 'model.onnx'), addModel(2)),
    reason: /"model\.onnx" has changed/,
    served: 2,
  },
  {
    title: 'settings above a numbered version that appear',
    lay: (store) => {
      mkdirSync(path.join(store, 'x', '3'), { recursive: true })
      writeFileSync(path.join(store, 'x', '3', 'model.onnx'), addModel(1))
      writeFileSync(path.join(store, 'x', '3', 'other.onnx'), addModel(2))
    },
    change: (store) => writeFileSync(path.join(store, 'x', 'model.json'), '{"model":"other.onnx"}'),
    reason: /a new file changes the selection of the \.onnx file/,
    served: 2,
  },
  {
    title: 'a network that appears and comes first',
    lay: (store) => {
      mkdirSync(path.join(store, 'x'))
      writeFileSync(path.join(store, 'x', 'first.onnx'), addModel(1))
    },
    change: (store) => writeFileSync(path.join(store, 'x', 'model.onnx'), addModel(2)),
    reason: /a new file changes the selection of the \.onnx file/,
    served: 2,
  },
  {
    title: 'a link to a folder that is swapped',
    lay: (store) => {
      for (const number of [1, 2]) {
        mkdirSync(path.join(store, `.releases-${number}`))
        writeFileSync(path.join(store, `.releases-${number}`, 'model.onnx'), addModel(number))
      }
      symlinkSync('.releases-1', path.join(store, 'x'))
    },
    change: (store) => swapLink(path.join(store, 'x'), '.releases-2'),
    reason: /"model\.onnx" has changed/,
    served: 2,
  },
  {
    title: 'a ConfigMap of Kubernetes, whose ..data is swapped and whose old folder goes',
    lay: (store) => layConfigMap(path.join(store, 'x'), '..2026_1', addModel(1)),
    change: (store) => layConfigMap(path.join(store, 'x'), '..2026_2', addModel(2)),
    reason: /"model\.onnx" has changed/,
    served: 2,
  },
]

/**
 * Writes the folder as the kubelet does: file names are links into `..data`, which is a link to a
 * folder with the time in its name.
 */
function layConfigMap(folder: string, time: string, network: Buffer): void {
  mkdirSync(path.join(folder, time), { recursive: true })
  writeFileSync(path.join(folder, time, 'model.onnx'), network)
  const data = path.join(folder, '..data')
  let old: string | undefined
  try {
    old = readlinkSync(data)
  } catch {
    symlinkSync('..data/model.onnx', path.join(folder, 'model.onnx'))
  }
  swapLink(data, time)
  if (old !== undefined) rmSync(path.join(folder, old), { recursive: true })
}

const sharedStore = mkdtempSync(path.join(tmpdir(), 'onnxd-test-'))
after(() => rmSync(sharedStore, { recursive: true }))

/** One server for most tests, with a store that is empty at the start of each. */
async function storeServer(
  t: TestContext,
  lay: (store: string) => void,
): Promise<[TestServer, string]> {
  lay(sharedStore)
  const server = await sharedServer([], { modelStore: sharedStore, load: 'none' })
  t.after(async () => {
    await unregisterAll(server)
    for (const name of readdirSync(sharedStore))
      rmSync(path.join(sharedStore, name), { recursive: true })
  })
  return [server, sharedStore]
}

for (const { title, lay, change, reason, served } of CHANGES) {
  test(`A5: ${title}: no new worker serves it until the model is loaded again`, async (t) => {
    const [server, store] = await storeServer(t, lay)
    const load = await send(server, 'POST', '/v2/repository/models/x/load')
    assert.equal(load.status, 200, load.text)
    assert.deepEqual(await constants(server), [1])
    change(store)
    const refused = await scale(server, 2)
    assert.equal(refused.status, 409, refused.text)
    assert.match(refused.text.replaceAll('\\"', '"'), reason)
    assert.doesNotMatch(refused.text, new RegExp(store))
    assert.deepEqual(await constants(server), [1], 'the worker that is there goes on')
    await until(() =>
      server.logLines.some(({ level, model, change: said }) => {
        return level === 50 && model === 'x' && reason.test(String(said))
      }),
    )
    const again = await send(server, 'POST', '/v2/repository/models/x/load')
    if (served === undefined) {
      assert.ok(again.status >= 400, again.text)
      assert.deepEqual(await constants(server), [1])
      return
    }
    assert.equal(again.status, 200, again.text)
    assert.equal((await scale(server, 2)).status, 200)
    assert.deepEqual(await constants(server), [served], 'all workers serve the new files')
  })
}

const HARMLESS: readonly [title: string, change: (store: string) => void][] = [
  ['touched', (store) => utimesSync(file(store), new Date(), new Date(2020, 1))],
  ['given other rights', (store) => chmodSync(file(store), 0o640)],
  ['given a second name', (store) => linkSync(file(store), path.join(store, 'backup'))],
  [
    'replaced by a copy',
    (store) => {
      copyFileSync(file(store), path.join(store, 'copy'))
      renameSync(path.join(store, 'copy'), file(store))
    },
  ],
  ['beside new files', (store) => writeFileSync(path.join(store, 'y.onnx'), addModel(3))],
  [
    'away and back',
    (store) => {
      writeFileSync(file(store), addModel(2))
      writeFileSync(file(store), addModel(1))
    },
  ],
]

test('A5: a small file with the same contents is the same file, whatever happened to it', async (t) => {
  const [server, store] = await storeServer(t, layFile())
  assert.equal((await send(server, 'POST', '/models?url=x.onnx')).status, 200)
  for (const [index, [title, change]] of HARMLESS.entries()) {
    change(store)
    const { status, text } = await scale(server, index + 2)
    assert.equal(status, 200, `${title}: ${text}`)
  }
  assert.deepEqual(await constants(server), [1])
})

test('A5: a large file that nobody touched gets new workers', async (t) => {
  const [server, store] = await storeServer(t, layFile(LARGE))
  assert.equal((await send(server, 'POST', '/models?url=x.onnx')).status, 200)
  writeFileSync(path.join(store, 'other.onnx'), addModel(2))
  readFileSync(file(store))
  assert.equal((await scale(server, 2)).status, 200)
  assert.deepEqual(await constants(server), [1])
})

test('A5: weights that are written to in their place end the workers that have them mapped', async (t) => {
  const weights = (store: string): string => path.join(store, 'x', 'weights.bin')
  const [server, store] = await storeServer(t, (folder) => {
    mkdirSync(path.join(folder, 'x'))
    writeFileSync(path.join(folder, 'x', 'model.onnx'), externalModel('weights.bin'))
    writeFileSync(weights(folder), externalConstant(1))
  })
  assert.equal((await send(server, 'POST', '/models?url=x')).status, 200)
  writeFileSync(weights(store), externalConstant(1))
  assert.deepEqual(await constants(server), [1], 'the same contents change nothing')
  writeFileSync(weights(store), externalConstant(2))
  await until(async () => (await server.fetch('/v2/models/x/ready')).status === 503)
  await until(async () => /weights\.bin/.test((await send(server, 'GET', '/models/x')).text))
  await server.logged(({ file: name, level }) => name === 'weights.bin' && level === 50)
  assert.equal((await send(server, 'POST', '/v2/repository/models/x/load')).status, 200)
  assert.deepEqual(await constants(server), [2])
})

test('A5: a file that changes while a worker loads it is refused, and nothing of it is served', async (t) => {
  const store = temporaryFolder(t)
  writeFileSync(file(store), endlessModel(1_000_000n))
  // Lines of another test's worker would come late.
  const server = await serve(t, [], { modelStore: store, load: 'none' })
  const loading = send(server, 'POST', '/models?url=x.onnx')
  // The worker has read the file, and is not ready yet.
  await until(() => server.logLines.some(({ line }) => line === 'The warm-up run begins.'))
  writeFileSync(file(store), addModel(2))
  const { status, text } = await loading
  assert.equal(status, 409, text)
  assert.match(text, /x\.onnx.* has changed/)
  assert.equal((await send(server, 'GET', '/models/x')).status, 404)
  assert.equal((await send(server, 'POST', '/models?url=x.onnx')).status, 200)
  assert.deepEqual(await constants(server), [2])
})

test('A5: a file that is written to all the time is refused, or served as one of its states', async (t) => {
  const [server, store] = await storeServer(t, layFile())
  const changing = setInterval(() => writeFileSync(file(store), addModel(2, { input: 'other' })), 1)
  // Before the folder is removed, which is the first thing that happens after the test.
  try {
    for (let round = 0; round < 5; round++) {
      const { status, text } = await send(server, 'POST', '/v2/repository/models/x/load')
      assert.ok([200, 400, 409].includes(status), `${status} ${text}`)
      if (status !== 200) continue
      const metadata = (await json(await server.fetch('/v2/models/x'))) as {
        inputs: { name: string }[]
      }
      assert.deepEqual(
        metadata.inputs.map(({ name }) => name),
        ['other'],
      )
    }
  } finally {
    clearInterval(changing)
  }
})

test('A5: an archive is unpacked once; it may change or go', async (t) => {
  const [server, store] = await storeServer(t, (folder) =>
    writeFileSync(path.join(folder, 'x.zip'), zipOf([{ name: 'model.onnx', data: addModel(1) }])),
  )
  assert.equal((await send(server, 'POST', '/models?url=x.zip')).status, 200)
  rmSync(path.join(store, 'x.zip'))
  assert.equal((await scale(server, 2)).status, 200)
  assert.deepEqual(await constants(server), [1])
})

test('A5: a custom handler may write new files into its model folder, but not change the model files', async (t) => {
  const store = temporaryFolder(t)
  const folder = path.join(store, 'x')
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'model.json'), '{"handler":"service.mjs:handle"}')
  const code = (text: string): string =>
    `import { mkdirSync, writeFileSync } from 'node:fs'
     const folder = import.meta.dirname ?? new URL('.', import.meta.url).pathname
     writeFileSync(folder + '/cache.bin', String(process.hrtime.bigint()))
     mkdirSync(folder + '/__pycache__', { recursive: true })
     writeFileSync(folder + '/__pycache__/service.pyc', String(process.hrtime.bigint()))
     export function handle(data) { return data?.map(() => '${text}') }`
  writeFileSync(path.join(folder, 'service.mjs'), code('one'))
  const server = await serve(t, [], { modelStore: store, load: 'none', allowHandlers: true })
  assert.equal((await send(server, 'POST', '/models?url=x')).status, 200)
  assert.equal((await scale(server, 2)).status, 200)
  writeFileSync(path.join(folder, 'service.mjs'), code('two'))
  const refused = await scale(server, 3)
  assert.equal(refused.status, 409)
  assert.match(refused.text, /service\.mjs.* has changed/)
})

test('A5: the names of external data are found in a file of any form', async (t) => {
  const folder = temporaryFolder(t)
  const target = path.join(folder, 'x.onnx')
  const read = async (bytes: Buffer): Promise<readonly string[]> => {
    writeFileSync(target, bytes)
    return externalLocations(target)
  }
  assert.deepEqual(await read(externalModel('a b/ü.bin')), ['a b/ü.bin'])
  assert.deepEqual(await read(addModel(1, { padding: LARGE })), [])
  const whole = externalModel('weights')
  for (let length = 0; length < whole.length; length++) {
    assert.ok((await read(whole.subarray(0, length))).length <= 1)
  }
  assert.deepEqual(await read(Buffer.alloc(100_000, 0xff)), [])
  assert.deepEqual(await read(Buffer.alloc(100_000, 0x3a)), [])
})
