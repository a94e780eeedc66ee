/**
 * Block O, rows O15, O17 and O18: a state folder that is damaged, refers to missing files, or has
 * another version.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  cpSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { after, before, test } from 'node:test'
import type { TestContext } from 'node:test'
import { startCommand } from '../helpers/command.ts'
import type { Command, CommandOptions } from '../helpers/command.ts'
import { failedModels, modelNames } from '../helpers/observe.ts'
import { addModel } from '../helpers/onnx-files.ts'
import { asUser, needsOtherUser } from '../helpers/other-user.ts'
import { randomNumbers } from '../helpers/random.ts'
import { FLOWER, iris } from '../helpers/server-process.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { size } from './harness.ts'

const OTHER_USER = 12_347

/** A state of two generations: the one before knows the model `old`, the last one `new` as well. */
let good = ''
const cleanups: (() => unknown)[] = []
before(async () => {
  const t = { after: (run: () => unknown) => cleanups.push(run) }
  good = temporaryFolder(t)
  const server = await serve(t, [], { stateDir: good, allowLocalPaths: true, load: 'none' })
  for (const name of ['old', 'new']) {
    const route = `/models?url=${iris}&model_name=${name}&initial_workers=0`
    assert.equal((await server.manage(route, { method: 'POST' })).status, 200)
  }
  await server.close()
})
after(async () => {
  for (const run of cleanups.toReversed()) await run()
})

/** A copy of the good state. */
function stateFolder(t: TestContext): string {
  const folder = path.join(temporaryFolder(t), 'state')
  cpSync(good, folder, { recursive: true })
  chmodSync(folder, 0o700)
  return folder
}

const ARGS = ['--load', 'none', '--allow-local-paths']
const startWith = (t: TestContext, folder: string, options: CommandOptions = {}): Command =>
  startCommand(t, [...ARGS, '--state-dir', folder], options)

async function namesOf(management: string): Promise<string[]> {
  const list = (await (await fetch(`${management}/models`)).json()) as {
    models: { modelName: string }[]
  }
  return list.models.map(({ modelName }) => modelName)
}

/** What makes the current generation unreadable, by what it is called. */
const DAMAGES: Readonly<Record<string, (text: string) => string | Buffer>> = {
  'cut in the middle': (text) => text.slice(0, text.length / 2),
  'wrong checksum': (text) => text.replace('"new"', '"now"'),
  empty: () => '',
  'cut by one byte': (text) => text.trimEnd().slice(0, -1),
  'one byte': () => '{',
  random: () => randomBytes(4096),
  'other JSON': () => '[1, 2, 3]',
  'no version': (text) => text.replace(/"schemaVersion": \d+,/, ''),
  'version zero': (text) => text.replace(/"schemaVersion": \d+/, '"schemaVersion": 0'),
  'nested deeply': () => '['.repeat(100_000),
}

function randomBytes(count: number): Buffer {
  const random = randomNumbers(15)
  return Buffer.from(Array.from({ length: count }, () => random.integer(0, 255)))
}

test('O15 a damaged state gives the generation before, says so, and is kept', async (t) => {
  const damages = Object.entries(DAMAGES)
  for (const [name, damage] of damages.slice(0, size(3, damages.length))) {
    const folder = stateFolder(t)
    const file = path.join(folder, 'state.json')
    const damaged = Buffer.from(damage(readFileSync(file, 'utf8')))
    writeFileSync(file, damaged)
    const server = startWith(t, folder)
    const { management } = await server.ready()
    assert.deepEqual(await namesOf(management), ['old'], name)
    await server.logged(/"level":50.*state\.json is damaged.*It was renamed to state\.damaged-/)
    // A change is saved beside the damaged file.
    const route = `/models?url=${iris}&model_name=later&initial_workers=0`
    assert.equal((await fetch(management + route, { method: 'POST' })).status, 200)
    assert.equal((await server.end('SIGTERM')).code, 0)
    const [kept = '', ...others] = readdirSync(folder).filter((one) => one.includes('damaged'))
    assert.deepEqual(others, [], name)
    assert.ok(readFileSync(path.join(folder, kept)).equals(damaged), name)
  }
})

test('O15 without a good generation the server starts empty, says so, and keeps both', async (t) => {
  const folder = stateFolder(t)
  for (const name of ['state.json', 'state.previous.json'])
    truncateSync(path.join(folder, name), 100)
  const server = startWith(t, folder)
  const { management } = await server.ready()
  assert.deepEqual(await namesOf(management), [])
  await server.logged(/"level":50.*No usable state is left/)
  assert.equal((await server.end('SIGTERM')).code, 0)
  assert.equal(readdirSync(folder).filter((name) => name.includes('damaged')).length, 2)
})

/** What must not be touched in the place of the current generation. */
const REFUSED: Readonly<Record<string, (file: string) => unknown>> = {
  link: (file) => {
    cpSync(file, `${file}.target`)
    rmSync(file)
    symlinkSync(`${file}.target`, file)
  },
  huge: (file) => truncateSync(file, 2 ** 40),
  folder: (file) => {
    rmSync(file)
    mkdirSync(file)
  },
  pipe: (file) => {
    rmSync(file)
    execFileSync('mkfifo', [file])
  },
  'newer version': (file) => {
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace(/"schemaVersion": \d+/, '"schemaVersion": 99'))
  },
}

const lookOf = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => !name.startsWith('lock-'))
    .map((name) => {
      const { mode, size: bytes, ino } = lstatSync(path.join(folder, name))
      return `${name} ${mode} ${bytes} ${ino}`
    })
    .toSorted()

async function assertRefused(server: Command, message: RegExp, folder: string, look: string[]) {
  const { code } = await server.ended
  assert.ok(code === 1 || code === 2, `exit code ${code}: ${server.errors()}`)
  const own = server
    .errors()
    .split('\n')
    .filter((line) => line.startsWith('onnxd: '))
  assert.equal(own.length, 1, server.errors())
  assert.match(own[0] ?? '', message)
  assert.deepEqual(lookOf(folder), look)
  assert.deepEqual(readdirSync(server.temporary), [])
}

test('O15 O18 a state that is no plain file, too large or newer ends the start, and stays as it is', async (t) => {
  for (const [name, make] of Object.entries(REFUSED)) {
    const folder = stateFolder(t)
    make(path.join(folder, 'state.json'))
    const look = lookOf(folder)
    const message =
      name === 'newer version' ? /schema version 99.*Nothing was changed/ : /Nothing was changed/
    await assertRefused(startWith(t, folder), message, folder, look)
  }
})

test(
  'O15 a state that the server may not read ends the start',
  { skip: needsOtherUser },
  async (t) => {
    const folder = stateFolder(t)
    const outer = path.dirname(folder)
    const temporary = path.join(outer, 't')
    mkdirSync(temporary)
    for (const one of [outer, folder, temporary]) chownSync(one, OTHER_USER, OTHER_USER)
    chmodSync(path.join(folder, 'state.json'), 0o600)
    const look = lookOf(folder)
    const server = startWith(t, folder, { prefix: asUser(OTHER_USER), temporary })
    await assertRefused(server, /cannot be read \(EACCES\). Nothing was changed/, folder, look)
  },
)

test('O18 a state of each schema version before is read, and written as the present one', async (t) => {
  const present = JSON.parse(readFileSync(path.join(good, 'state.json'), 'utf8'))
  const versions = [4, 3, 2, 1]
  for (const schemaVersion of versions.slice(0, size(1, versions.length))) {
    const folder = stateFolder(t)
    const state = { models: present.state.models }
    const text = JSON.stringify([schemaVersion, 'then', state])
    const checksum = createHash('sha256').update(text).digest('hex')
    const content = { schemaVersion, savedAt: 'then', checksum, state }
    writeFileSync(path.join(folder, 'state.json'), JSON.stringify(content))
    const server = startWith(t, folder)
    const { management } = await server.ready()
    assert.deepEqual(await namesOf(management), ['new', 'old'])
    assert.equal((await fetch(`${management}/models/old`, { method: 'DELETE' })).status, 200)
    assert.equal((await server.end('SIGTERM')).code, 0)
    const written = JSON.parse(readFileSync(path.join(folder, 'state.json'), 'utf8'))
    assert.equal(written.schemaVersion, present.schemaVersion)
    assert.doesNotMatch(server.errors(), /"level":[56]0/)
  }
})

/** Serves one model until it is closed. */
async function origin(t: TestContext): Promise<{ url: string; close: () => void }> {
  const server = createServer((_request, response) => response.end(addModel(1)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const close = (): void => {
    server.closeAllConnections()
    server.close()
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}

test('O17 models whose files are gone fail by themselves; the others are restored', async (t) => {
  const stateDir = path.join(temporaryFolder(t), 'state')
  const store = temporaryFolder(t)
  for (const name of ['gone', 'damaged', 'kept'])
    writeFileSync(path.join(store, `${name}.onnx`), addModel(1))
  const { url, close } = await origin(t)
  const settings = {
    stateDir,
    modelStore: store,
    load: 'none',
    allowedOrigins: [url],
    allowPrivateAddresses: true,
  } as const
  const first = await serve(t, [], settings)
  const register = async (server: TestServer, query: string): Promise<void> => {
    const answer = await server.manage(`/models?${query}`, { method: 'POST' })
    assert.equal(answer.status, 200, await answer.text())
  }
  for (const name of ['gone', 'damaged', 'kept']) await register(first, `url=${name}.onnx`)
  for (const name of ['far', 'lost']) await register(first, `url=${url}/${name}.onnx`)
  await first.close()
  const stored = JSON.parse(readFileSync(path.join(stateDir, 'state.json'), 'utf8')) as {
    state: { models: { name: string; file?: string }[] }
  }
  const file = stored.state.models.find(({ name }) => name === 'lost')?.file ?? ''
  assert.notEqual(file, '')
  rmSync(path.join(stateDir, 'models', file), { recursive: true })
  rmSync(path.join(store, 'gone.onnx'))
  writeFileSync(path.join(store, 'damaged.onnx'), 'no model')
  // What was downloaded is kept, so the origin may be down.
  close()

  const second = await serve(t, [`m=${iris}`], settings)
  assert.deepEqual(await modelNames(second), ['far', 'kept', 'm'])
  const failed = await failedModels(second)
  assert.deepEqual(failed.map(({ modelName }) => modelName).toSorted(), ['damaged', 'gone', 'lost'])
  for (const { reason } of failed) assert.doesNotMatch(reason, /\/tmp\/|\n\s+at /)
  for (const model of ['far', 'kept']) {
    const answer = await second.fetch(`/predictions/${model}`, {
      method: 'POST',
      body: '{"x":[1]}',
    })
    assert.equal(answer.status, 200, await answer.text())
  }
  assert.equal((await second.fetch('/predictions/m', FLOWER)).status, 200)
  assert.equal((await second.fetch('/ping')).status, 200)
  await second.close()
  // They stay in the state, and are served again when their files are back.
  writeFileSync(path.join(store, 'gone.onnx'), addModel(1))
  const third = await serve(t, [], settings)
  assert.deepEqual(await modelNames(third), ['far', 'gone', 'kept'])
})

/** A store with a model of two versions. */
function twoVersions(t: TestContext): string {
  const store = temporaryFolder(t)
  for (const version of ['1', '2']) {
    mkdirSync(path.join(store, 'iris', version), { recursive: true })
    cpSync(path.join(iris, 'model.onnx'), path.join(store, 'iris', version, 'model.onnx'))
  }
  return store
}

test('O17 a model that was scaled and then taken out of the store does not keep others from starting', async (t) => {
  const modelStore = twoVersions(t)
  const stateDir = temporaryFolder(t)
  const first = await serve(t, [], { modelStore, stateDir })
  const route = '/models/iris?min_worker=2&synchronous=true'
  assert.equal((await first.manage(route, { method: 'PUT' })).status, 200)
  await first.close()
  rmSync(path.join(modelStore, 'iris', '2', 'model.onnx'))
  writeFileSync(path.join(modelStore, 'iris', '2', 'model.onnx'), '')
  const second = await serve(t, [`other=${iris}`], { modelStore, stateDir })
  assert.deepEqual(await modelNames(second), ['other'])
  await second.close()
  cpSync(path.join(iris, 'model.onnx'), path.join(modelStore, 'iris', '2', 'model.onnx'))
  const third = await serve(t, [], { modelStore, stateDir })
  const { minWorkers } = (await json(await third.manage('/models/iris'))) as { minWorkers: number }
  assert.equal(minWorkers, 2)
})
