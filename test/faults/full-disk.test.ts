/**
 * Block O, rows O01 and O02: a disk that is full, read-only or has a limit for file sizes. A change
 * that cannot be saved is rejected with 507 and has no effect, now and after a restart.
 */
import assert from 'node:assert/strict'
import {
  cpSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { startCommand } from '../helpers/command.ts'
import { workersFor } from '../helpers/http-processes.ts'
import { fillBytes, needsMount, onDisk, remount, seenBy } from '../helpers/mounted-command.ts'
import { addModel } from '../helpers/onnx-files.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'
import { isFull } from './harness.ts'

interface Refusal {
  readonly code: number
  readonly type: string
  readonly message: string
}

interface Server {
  readonly pid: number
  send(method: string, route: string, body?: FormData): Promise<{ status: number; text: string }>
  stop(): Promise<void>
}

/** Everything that a restart has to keep. */
interface Served {
  readonly models: string[]
  readonly workers: number
  readonly defaultVersion: string
}

/** Starts the server with a state folder. With a limit (in KiB), it cannot write larger files. */
async function start(
  t: TestContext,
  folder: string,
  { limitKib, disk = [] }: { limitKib?: number; disk?: string[] } = {},
): Promise<Server> {
  const limit = ['bash', '-c', `ulimit -f ${limitKib}; exec "$0" "$@"`]
  const prefix = [...disk, ...(limitKib === undefined ? [] : limit)]
  const args = ['--load', 'none', '--model-store', path.join(folder, 'store')]
  const command = startCommand(t, [...args, '--state-dir', path.join(folder, 'state')], {
    prefix,
    temporary: path.join(folder, 't'),
  })
  const { management } = await command.ready()
  return {
    pid: command.pid,
    send: async (method, route, body) => {
      const answer = await fetch(
        management + route,
        body === undefined ? { method } : { method, body },
      )
      return { status: answer.status, text: await answer.text() }
    },
    stop: async () => {
      const { code, signal } = await command.end('SIGTERM')
      assert.deepEqual([code, signal], [0, null], command.errors())
    },
  }
}

async function served(server: Server): Promise<Served> {
  const list = JSON.parse((await server.send('GET', '/models')).text) as {
    models: { modelName: string }[]
  }
  const described = JSON.parse((await server.send('GET', '/models/kept')).text) as {
    minWorkers: number
    modelVersion: string
    workers: unknown[]
  }
  assert.equal(described.workers.length, workersFor(described.minWorkers))
  return {
    models: list.models.map(({ modelName }) => modelName),
    workers: described.minWorkers,
    defaultVersion: described.modelVersion,
  }
}

let template: Promise<string> | undefined
const cleanups: (() => void)[] = []
after(() => cleanups.forEach((run) => run()))

/**
 * A folder with a store and a saved state: two versions of one model, one version of another, and
 * an uploaded model. One server makes it for all tests; each gets a copy.
 */
async function prepared(t: TestContext): Promise<string> {
  const cleanup: Cleanup = { after: (run) => cleanups.push(run as () => void) }
  template ??= prepare(t, temporaryFolder(cleanup))
  const folder = temporaryFolder(t)
  cpSync(await template, folder, { recursive: true, preserveTimestamps: true })
  return folder
}

async function prepare(t: TestContext, folder: string): Promise<string> {
  mkdirSync(path.join(folder, 'store'))
  for (const name of ['a', 'b'])
    writeFileSync(path.join(folder, 'store', `${name}.onnx`), addModel(1))
  const server = await start(t, folder)
  const form = new FormData()
  form.set('model_name', 'sent')
  // Each start of a server would start its worker.
  form.set('initial_workers', '0')
  form.set('model', new Blob([addModel(3)]), 'sent.onnx')
  assert.equal((await server.send('POST', '/models', form)).status, 200)
  for (const query of ['kept', 'kept&model_version=2&initial_workers=0', 'other']) {
    const answer = await server.send('POST', `/models?url=a.onnx&model_name=${query}`)
    assert.equal(answer.status, 200, answer.text)
  }
  // So that the state has more than one KiB.
  for (let version = 1; version <= 6; version++) {
    const query = `url=a.onnx&model_name=padding&model_version=${version}&initial_workers=0`
    assert.equal((await server.send('POST', `/models?${query}`)).status, 200)
  }
  await server.stop()
  return folder
}

const BEFORE: Served = {
  models: ['kept', 'other', 'padding', 'sent'],
  workers: 1,
  defaultVersion: '1.0',
}

/** Everything that changes the state; `form` is an upload. */
const CHANGES: readonly [method: string, route: string, form?: () => FormData][] = [
  ['DELETE', '/models/other'],
  ['DELETE', '/models/kept/2'],
  ['DELETE', '/models/sent'],
  ['PUT', '/models/kept?min_worker=2&synchronous=true'],
  ['PUT', '/models/kept?min_worker=2'],
  ['PUT', '/models/kept/2/set-default'],
  ['POST', '/models?url=b.onnx'],
  ['POST', '/v2/repository/models/b/load'],
  ['POST', '/v2/repository/models/other/unload'],
  [
    'POST',
    '/models',
    () => {
      const form = new FormData()
      form.set('model', new Blob([addModel(4)]), 'late.onnx')
      return form
    },
  ],
]

/** One of each kind under `npm test`, for all reasons but the first why nothing can be saved. */
const SAMPLE = isFull ? CHANGES : CHANGES.filter((_, index) => [0, 3, 6, 9].includes(index))

async function refusesAll(server: Server, reason: RegExp, changes = CHANGES): Promise<void> {
  for (const [method, route, form] of changes) {
    const { status, text } = await server.send(method, route, form?.())
    assert.equal(status, 507, `${method} ${route}: ${text}`)
    assert.match(text, reason)
    assert.doesNotMatch(text, /\/(tmp|state)\//)
    // The file of an upload may find no room before there is anything to save.
    if (form === undefined) assert.match(text, /could not be saved and has no effect/)
    if (form === undefined && !route.startsWith('/v2')) {
      assert.equal((JSON.parse(text) as Refusal).type, 'StateNotSavedException')
    }
    assert.deepEqual(await served(server), BEFORE, `${method} ${route} has no effect`)
  }
}

test('O02 E8 beyond a limit of file sizes no change takes effect, says why, and the restart knows the same', async (t) => {
  const folder = await prepared(t)
  const kept = readdirSync(path.join(folder, 'state', 'models'))
  // Each write beyond one KiB fails, as it does on a full disk; the state is larger than that.
  assert.ok(readFileSync(path.join(folder, 'state', 'state.json')).length > 1024)
  const full = await start(t, folder, { limitKib: 1 })
  assert.deepEqual(await served(full), BEFORE)
  await refusesAll(full, /the disk may be full|\(EFBIG\)/)
  await full.stop()
  const again = await start(t, folder)
  assert.deepEqual(await served(again), BEFORE)
  assert.deepEqual(readdirSync(path.join(folder, 'state', 'models')), kept)
  // With room again, the same requests work.
  for (const [method, route, form] of CHANGES.slice(0, 4)) {
    assert.equal((await again.send(method, route, form?.())).status, 200, `${method} ${route}`)
  }
  await again.stop()
  const last = await start(t, folder)
  assert.deepEqual(await served(last), {
    models: ['kept', 'padding'],
    workers: 2,
    defaultVersion: '1.0',
  })
  await last.stop()
})

test(
  'O01 the same on a disk that has no room, and on one that became read-only',
  { skip: needsMount },
  async (t) => {
    const folder = await prepared(t)
    const source = path.join(folder, 'disk')
    const state = path.join(folder, 'state')
    cpSync(state, source, { recursive: true })
    const server = await start(t, folder, { disk: onDisk(state, 'size=128k', source) })
    const disk = seenBy(server.pid, state)
    // The server removes the state before the last; with a second name that gives no room.
    linkSync(path.join(disk, 'state.previous.json'), path.join(disk, 'held'))
    const makeRoom = fillBytes(disk)
    const full = /its disk is full \(ENOSPC\)|not enough free space|the disk may be full/
    await refusesAll(server, full, SAMPLE)
    makeRoom()
    rmSync(path.join(disk, 'held'))
    remount(server.pid, state, 'ro')
    await refusesAll(server, /its file system is read-only \(EROFS\)|read-only/, SAMPLE)
    remount(server.pid, state, 'rw')
    rmSync(source, { recursive: true })
    cpSync(disk, source, { recursive: true, filter: (name) => !name.includes('lock-') })
    await server.stop()
    const again = await start(t, folder, { disk: onDisk(state, 'size=1m', source) })
    assert.deepEqual(await served(again), BEFORE)
    await again.stop()
  },
)

test('O01 a state folder that cannot be written any more is no reason to lose what it holds', async (t) => {
  const folder = await prepared(t)
  const state = path.join(folder, 'state')
  const server = await start(t, folder)
  // A folder in the place of the file before it: no state can be saved, whoever the server runs as.
  rmSync(path.join(state, 'state.previous.json'), { force: true })
  mkdirSync(path.join(state, 'state.previous.json', 'in-the-way'), { recursive: true })
  await refusesAll(server, /has no effect/, SAMPLE)
  await server.stop()
  rmSync(path.join(state, 'state.previous.json'), { recursive: true })
  const again = await start(t, folder)
  assert.deepEqual(await served(again), BEFORE)
  await again.stop()
})

test('O02 a model that could not be restored is forgotten only when that can be saved', async (t) => {
  const folder = await prepared(t)
  const store = path.join(folder, 'store')
  cpSync(path.join(store, 'a.onnx'), path.join(folder, 'a.onnx'))
  writeFileSync(path.join(store, 'a.onnx'), 'garbage')
  const full = await start(t, folder, { limitKib: 1 })
  for (let round = 0; round < 2; round++) {
    assert.equal((await full.send('DELETE', '/models/other')).status, 507)
  }
  await full.stop()
  cpSync(path.join(folder, 'a.onnx'), path.join(store, 'a.onnx'))
  const again = await start(t, folder)
  assert.deepEqual(await served(again), BEFORE)
  await again.stop()
})

test('O01 a scaling that cannot be saved starts no worker, and one to the same number needs no disk', async (t) => {
  const stateDir = temporaryFolder(t)
  const store = temporaryFolder(t)
  writeFileSync(path.join(store, 'a.onnx'), addModel(1))
  const server = await serve(t, [], { modelStore: store, stateDir, load: 'none' })
  const put = async (workers: number): Promise<Response> =>
    server.manage(`/models/a?min_worker=${workers}&synchronous=true`, { method: 'PUT' })
  assert.equal((await server.manage('/models?url=a.onnx', { method: 'POST' })).status, 200)
  assert.equal((await put(2)).status, 200)
  rmSync(path.join(stateDir, 'state.previous.json'), { force: true })
  mkdirSync(path.join(stateDir, 'state.previous.json', 'in-the-way'), { recursive: true })
  assert.equal((await put(3)).status, 507)
  assert.equal((await put(2)).status, 200)
  const { workers } = (await json(await server.manage('/models/a'))) as { workers: unknown[] }
  assert.equal(workers.length, 2)
})
