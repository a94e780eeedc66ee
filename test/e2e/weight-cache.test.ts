/** Workers that share the weights of a model, and files of the cache that change meanwhile. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { oneProcess } from '../helpers/http-processes.ts'
import { needsMount, onDisk } from '../helpers/mounted-command.ts'
import { workerPids, workersOf } from '../helpers/observe.ts'
import { endlessModel } from '../helpers/onnx-files.ts'
import { needsOtherUser } from '../helpers/other-user.ts'
import { CLI, childrenOf, isAlive, json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { entriesIn, unfinishedIn } from '../helpers/weight-cache.ts'
import { layers } from '../helpers/weight-models.ts'

const MIB = 1024 * 1024
/** A layer has a quarter of a MiB of weights. */
const WIDTH = 256
const WORKERS = 2

interface Weights {
  readonly state: string
  readonly bytes?: number
  readonly reason?: string
}

async function weightsOf(server: TestServer, model = 'm'): Promise<Weights> {
  const [first] = (await json(await server.manage(`/models/${model}/all`))) as [
    { weights: Weights },
  ]
  return first.weights
}

/** The outputs for a fixed input, asked often enough to meet every worker. */
async function answers(server: TestServer, model = 'm', requests = 4 * WORKERS): Promise<string[]> {
  const data = Array.from({ length: WIDTH }, (_, index) => (index % 7) - 3)
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data }]
  const bodies = await Promise.all(
    Array.from({ length: requests }, async () => {
      const answer = await server.fetch(`/v2/models/${model}/infer`, {
        method: 'POST',
        body: JSON.stringify({ inputs }),
      })
      const body = (await json(answer)) as { outputs?: { data: number[] }[] }
      return body.outputs === undefined
        ? `${answer.status} ${JSON.stringify(body)}`
        : JSON.stringify(body.outputs[0]?.data)
    }),
  )
  return [...new Set(bodies)]
}

async function readyPids(server: TestServer, model: string): Promise<number[]> {
  const workers = await workersOf(server, model)
  return workers.filter(({ status }) => status === 'READY').map(({ pid }) => pid)
}

/** A model file and an empty cache folder. */
function placeFor(t: TestContext, bytes = layers(WIDTH, 2)): { model: string; cacheDir: string } {
  const folder = temporaryFolder(t)
  const model = path.join(folder, 'm.onnx')
  writeFileSync(model, bytes)
  return { model, cacheDir: path.join(folder, 'cache') }
}

const cached = (cacheDir: string): Record<string, string | number> => ({
  weightCache: 'auto',
  weightCacheMinMib: 0,
  cacheDir,
  workers: WORKERS,
  threads: 1,
})

/** Pages of a mapped file in a process, in KiB, by kind. */
function mapped(pid: number, file: string): Record<string, number> {
  const sizes: Record<string, number> = {}
  let isInside = false
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isInside = line.endsWith(` ${file}`)
    const [, name = '', size] = /^(\w+):\s+(\d+) kB$/.exec(line) ?? []
    if (isInside && size !== undefined) sizes[name] = (sizes[name] ?? 0) + Number(size)
  }
  return sizes
}

test('workers answer as without the cache, and have the weights in memory once', async (t) => {
  const { model, cacheDir } = placeFor(t, layers(WIDTH, 16))
  const plain = await serve(t, [model], { workers: 1, threads: 1 })
  const expected = await answers(plain)
  await plain.close()
  assert.equal(expected.length, 1)

  const server = await serve(t, [model], cached(cacheDir))
  assert.deepEqual(await answers(server), expected)
  const [key = ''] = entriesIn(cacheDir)
  const weights = path.join(cacheDir, key, 'weights.bin')
  assert.deepEqual(await weightsOf(server), {
    state: 'shared',
    bytes: statSync(weights).size + statSync(path.join(cacheDir, key, 'model.onnx')).size,
  })
  for (const pid of await workerPids(server, 'm')) {
    const pages = mapped(pid, weights)
    const touched = pages.Rss ?? 0
    assert.ok(touched * 1024 >= 4 * MIB, JSON.stringify(pages))
    assert.ok((pages.Private_Clean ?? 0) + (pages.Private_Dirty ?? 0) < touched / 10)
  }
})

/** Changes one byte of each page in place, and restores the times of the file. */
function flipBytes(file: string): void {
  const { atime, mtime } = statSync(file)
  const bytes = readFileSync(file)
  for (let at = 7; at < bytes.length; at += 4096) bytes[at] = (bytes[at] ?? 0) ^ 0x40
  writeFileSync(file, bytes, { flag: 'r+' })
  utimesSync(file, atime, mtime)
}

const CHANGES: Readonly<Record<string, (entry: string, other: string) => void>> = {
  'bytes of the weights are changed': (entry) => flipBytes(path.join(entry, 'weights.bin')),
  'the weights are truncated': (entry) => truncateSync(path.join(entry, 'weights.bin'), 4096),
  'the entry is removed': (entry) => rmSync(entry, { recursive: true }),
  'the entry is replaced by that of another model': (entry, other) => {
    rmSync(entry, { recursive: true })
    cpSync(other, entry, { recursive: true })
  },
  'the weights are overwritten by those of another model': (entry, other) => {
    const bytes = readFileSync(path.join(other, 'weights.bin'))
    writeFileSync(path.join(entry, 'weights.bin'), bytes, { flag: 'r+' })
  },
  'the model file is replaced by a link': (entry) => {
    renameSync(path.join(entry, 'model.onnx'), path.join(entry, 'moved'))
    symlinkSync('moved', path.join(entry, 'model.onnx'))
  },
}

/** The folder of the entry that was built from a file with this name. */
function entryOf(cacheDir: string, source: string): string {
  const entry = entriesIn(cacheDir)
    .map((key) => path.join(cacheDir, key))
    .find((folder) => readFileSync(path.join(folder, 'entry.json'), 'utf8').includes(`"${source}"`))
  assert.ok(entry !== undefined)
  return entry
}

test('the answers stay right when files of the cache are changed', async (t) => {
  const { model, cacheDir } = placeFor(t)
  writeFileSync(path.join(path.dirname(model), 'n.onnx'), layers(WIDTH, 2, 9))
  const models = [model, path.join(path.dirname(model), 'n.onnx')]
  const server = await serve(t, models, cached(cacheDir))
  const expected = { m: await answers(server, 'm'), n: await answers(server, 'n') }
  assert.equal(new Set([...expected.m, ...expected.n]).size, 2)
  for (const [index, [what, change]] of Object.entries(CHANGES).entries()) {
    const [name, other] = index % 2 === 0 ? (['m', 'n'] as const) : (['n', 'm'] as const)
    const entry = entryOf(cacheDir, `${name}.onnx`)
    change(entry, entryOf(cacheDir, `${other}.onnx`))
    // One request may meet each old worker in turn, and is not taken for the cause of their ends.
    assert.deepEqual(await answers(server, name, 1), expected[name], what)
    assert.deepEqual(await answers(server, name), expected[name], what)
    // New workers build the entry again.
    const old = await workerPids(server, name)
    for (const pid of old) process.kill(pid, 'SIGKILL')
    await until(async () => {
      const pids = await readyPids(server, name)
      return pids.length === WORKERS && pids.every((pid) => !old.includes(pid))
    })
    assert.equal((await weightsOf(server, name)).state, 'shared', what)
    assert.deepEqual(await answers(server, name), expected[name], what)
    assert.equal(entryOf(cacheDir, `${name}.onnx`), entry)
    assert.deepEqual(unfinishedIn(cacheDir), [])
  }
})

test(
  'an entry that is changed again and again is given up',
  { skip: oneProcess('its first worker') },
  async (t) => {
    const { model, cacheDir } = placeFor(t)
    const server = await serve(t, [model], { ...cached(cacheDir), workers: 1 })
    const expected = await answers(server)
    // The first worker has the original model.
    await server.logged(({ msg }) => msg === 'the next load shares the weights of the model')
    const [first = 0] = await readyPids(server, 'm')
    process.kill(first, 'SIGKILL')
    await until(async () => (await readyPids(server, 'm')).some((pid) => pid !== first))
    for (let change = 1; change <= 5; change += 1) {
      flipBytes(path.join(entryOf(cacheDir, 'm.onnx'), 'weights.bin'))
      assert.deepEqual(await answers(server), expected)
    }
    assert.deepEqual(await weightsOf(server), {
      state: 'private',
      reason: 'The cached files were changed 5 times within an hour.',
    })
  },
)

test('weights of another server that go away do not disturb workers that have them', async (t) => {
  const { model, cacheDir } = placeFor(t)
  const server = await serve(t, [model], cached(cacheDir))
  const expected = await answers(server)
  const pids = await workerPids(server, 'm')
  const child = spawn(process.execPath, [CLI, 'cache', 'clear', '--cache-dir', cacheDir])
  assert.deepEqual(await once(child, 'exit'), [0, null])
  assert.deepEqual(entriesIn(cacheDir), [])
  assert.deepEqual(await answers(server), expected)
  assert.deepEqual(await workerPids(server, 'm'), pids)
})

test('a build that is killed with its server leaves nothing to the next one', async (t) => {
  // The run never ends, so the check of the results does not end either.
  const { model, cacheDir } = placeFor(t, endlessModel())
  const settings = { ...cached(cacheDir), warmUp: false, loadTimeout: 600 }
  const args = Object.entries({ ...settings, port: 0, managementPort: 0 }).map(
    ([name, value]) =>
      `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}=${String(value)}`,
  )
  const flags = args.map((flag) => (flag === '--warm-up=false' ? '--no-warm-up' : flag))
  const child = spawn(process.execPath, [CLI, 'serve', ...flags, model], { stdio: 'ignore' })
  await until(() => existsSync(cacheDir) && unfinishedIn(cacheDir).length > 0)
  const pids = await until(() => {
    const found = childrenOf(child.pid ?? 0)
    return found.length > 0 && found
  })
  child.kill('SIGKILL')
  await until(() => pids.every((pid) => !isAlive(pid)))
  assert.equal(unfinishedIn(cacheDir).length, 1)
  writeFileSync(model, layers(WIDTH, 2))
  const server = await serve(t, [model], cached(cacheDir))
  assert.equal((await weightsOf(server)).state, 'shared')
  assert.deepEqual(unfinishedIn(cacheDir), [])
})

test('a model whose check takes too long is served without the cache', async (t) => {
  const { model, cacheDir } = placeFor(t, endlessModel())
  const settings = { ...cached(cacheDir), warmUp: false, loadTimeout: 5 }
  const server = await serve(t, [model], settings)
  assert.deepEqual(await weightsOf(server), {
    state: 'private',
    reason: 'The check took longer than 5 s.',
  })
  assert.deepEqual(entriesIn(cacheDir), [])
  assert.deepEqual(unfinishedIn(cacheDir), [])
  assert.equal(childrenOf(server.pid).length, WORKERS)
})

test('a cache folder that cannot be made does not stop the server', async (t) => {
  const { model } = placeFor(t)
  const server = await serve(t, [model], cached(path.join(model, 'cache')))
  assert.match((await weightsOf(server)).reason ?? '', /The cache folder cannot be used/)
  const warning = await server.logged(({ msg }) => /weights are not shared/.test(String(msg)))
  assert.match(String(warning.reason), /ENOTDIR/)
  assert.equal((await answers(server)).length, 1)
})

test('a full or read-only disk does not stop the server', { skip: needsMount }, async (t) => {
  for (const [options, reason] of [
    ['size=1m', /./],
    ['ro', /The cache folder cannot be used/],
  ] as const) {
    const { model } = placeFor(t)
    const disk = temporaryFolder(t)
    const command = [...onDisk(disk, options), process.execPath, CLI]
    const [program = '', ...rest] = command
    const server = await serve(t, [model], cached(path.join(disk, 'cache')), {
      command: [program, ...rest],
    })
    const weights = await weightsOf(server)
    assert.equal(weights.state, 'private')
    assert.match(weights.reason ?? '', reason)
    assert.equal((await answers(server)).length, 1)
  }
})

test('without settings, large models use the cache folder of the user', async (t) => {
  const { model, cacheDir } = placeFor(t, layers(WIDTH, 17))
  const small = path.join(path.dirname(model), 'small.onnx')
  writeFileSync(small, layers(WIDTH, 1))
  const environment = { ONNXD_WEIGHT_CACHE: undefined, XDG_CACHE_HOME: cacheDir }
  const server = await serve(t, [model, small], {}, { environment })
  await until(async () => (await weightsOf(server)).state === 'shared')
  assert.deepEqual(await weightsOf(server, 'small'), {
    state: 'private',
    reason: 'The model is too small to gain from it.',
  })
  assert.deepEqual(readdirSync(cacheDir), ['onnxd'])
  assert.equal(entriesIn(path.join(cacheDir, 'onnxd')).length, 1)
  assert.equal(statSync(path.join(cacheDir, 'onnxd')).mode & 0o777, 0o700)
})

const OTHER_USER = 61_234

test(
  'workers of another user share weights that only the server can write',
  { skip: needsOtherUser },
  async (t) => {
    const { model } = placeFor(t)
    const stateDir = path.join(path.dirname(model), 'state')
    mkdirSync(stateDir, { mode: 0o700 })
    chmodSync(path.dirname(model), 0o755)
    const settings = { ...cached(''), workerUser: String(OTHER_USER), stateDir }
    const temporary = temporaryFolder(t)
    chmodSync(temporary, 0o711)
    const server = await serve(t, [model], settings, { temporary })
    const expected = await answers(server)
    assert.equal(expected.length, 1)
    const folder = path.join(stateDir, 'cache')
    assert.equal((await weightsOf(server)).state, 'shared')
    const [key = ''] = entriesIn(folder)
    const modes = Object.fromEntries(
      [
        '',
        key,
        ...['model.onnx', 'weights.bin', 'entry.json'].map((name) => path.join(key, name)),
      ].map((name) => {
        const { mode, uid } = statSync(path.join(folder, name))
        return [path.basename(name), [uid, (mode & 0o777).toString(8)]]
      }),
    )
    assert.deepEqual(modes, {
      '': [0, '711'],
      [key]: [0, '711'],
      'model.onnx': [0, '644'],
      'weights.bin': [0, '644'],
      'entry.json': [0, '644'],
    })
    for (const pid of await workerPids(server, 'm')) {
      assert.equal(statSync(`/proc/${pid}`).uid, OTHER_USER)
      assert.ok((mapped(pid, path.join(folder, key, 'weights.bin')).Rss ?? 0) > 0)
    }
    flipBytes(path.join(folder, key, 'weights.bin'))
    assert.deepEqual(await answers(server), expected)
    assert.equal((await weightsOf(server)).state, 'shared')
    assert.deepEqual(unfinishedIn(folder), [])
  },
)
