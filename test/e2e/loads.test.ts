/** Requests that meet a model while it is being loaded: they wait for it, describe it or end it. */
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { httpProcesses, workersFor } from '../helpers/http-processes.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedStore, storeServer } from '../helpers/shared-server.ts'

const iris = path.resolve('examples/iris/model.onnx')

/**
 * A model of the store that loads only after its gate is opened. It counts its workers with files
 * in a folder.
 */
interface GatedModel {
  readonly workers: () => number
  readonly open: () => void
}

function gatedModel(t: TestContext, name = 'slow', failure = ''): GatedModel {
  const store = sharedStore(t)
  const folder = temporaryFolder(t)
  const gate = path.join(folder, 'gate')
  const count = path.join(folder, 'workers')
  mkdirSync(path.join(store, name))
  mkdirSync(count)
  writeFileSync(path.join(store, name, 'model.json'), '{"handler":"service.mjs:handle"}')
  writeFileSync(
    path.join(store, name, 'service.mjs'),
    `import { existsSync, writeFileSync } from 'node:fs'
     writeFileSync(${JSON.stringify(`${count}/`)} + process.pid, '')
     while (!existsSync(${JSON.stringify(gate)})) await new Promise((r) => setTimeout(r, 10))
     ${failure}
     export function handle(data) { return data?.map(() => 'served') }`,
  )
  return {
    workers: () => readdirSync(count).length,
    open: () => writeFileSync(gate, ''),
  }
}

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

async function send(
  server: TestServer,
  method: string,
  route: string,
  body?: unknown,
): Promise<Answer> {
  const init: RequestInit = { method }
  if (body !== undefined) {
    init.body = JSON.stringify(body)
    init.headers = { 'content-type': 'application/json' }
  }
  const answer = await server.manage(route, init)
  const text = await answer.text()
  return { status: answer.status, body: text === '' ? {} : JSON.parse(text) }
}

const LOAD = '/v2/repository/models/slow/load'
const UNLOAD = '/v2/repository/models/slow/unload'

/** A server that has begun to load the model of the store. */
async function loadingServer(
  t: TestContext,
  gated: GatedModel,
  begin = '/models?url=slow',
): Promise<{ server: TestServer; registering: Promise<Answer> }> {
  const server = await storeServer(t)
  const registering = send(server, 'POST', begin)
  await until(() => gated.workers() === 1)
  return { server, registering }
}

const served = async (server: TestServer): Promise<string> =>
  (await server.fetch('/predictions/slow', { method: 'POST', body: 'x' })).text()

test('B7: v2 loads of one model at once all succeed, with one load', async (t) => {
  const gated = gatedModel(t)
  const { server, registering } = await loadingServer(t, gated, LOAD)
  const others = Array.from({ length: 4 }, () => send(server, 'POST', LOAD))
  await until(async () => (await send(server, 'GET', '/models/slow')).status === 200)
  gated.open()
  for (const { status, body } of await Promise.all([registering, ...others])) {
    assert.equal(status, 200, JSON.stringify(body))
  }
  assert.equal(gated.workers(), workersFor(1), 'each HTTP process has started one worker')
  assert.equal(await served(server), 'served')
})

test('B7: v2 loads that meet fail alike when the model cannot be loaded', async (t) => {
  const gated = gatedModel(t, 'slow', 'throw new Error("no luck")')
  const { server, registering } = await loadingServer(t, gated, LOAD)
  const other = send(server, 'POST', LOAD)
  gated.open()
  for (const { status, body } of await Promise.all([registering, other])) {
    assert.equal(status, 500)
    assert.match(String(body['error']), /^failed to load 'slow': .*no luck/)
  }
  assert.equal((await send(server, 'GET', '/models/slow')).status, 404)
})

test('B7: a v2 load with another configuration waits for the first and then counts', async (t) => {
  const gated = gatedModel(t)
  const { server, registering } = await loadingServer(t, gated, LOAD)
  const config = JSON.stringify({ instance_group: [{ count: 2 }] })
  const other = send(server, 'POST', LOAD, { parameters: { config } })
  gated.open()
  assert.deepEqual([(await registering).status, (await other).status], [200, 200])
  assert.equal((await send(server, 'GET', '/models/slow')).body['minWorkers'], 2)
  // Another HTTP process may leave out the first load.
  if (httpProcesses === 1) assert.equal(gated.workers(), 3)
})

test('B7: a v2 load during a registration waits for it and then loads the model of the store', async (t) => {
  const gated = gatedModel(t)
  const { server, registering } = await loadingServer(t, gated)
  const load = send(server, 'POST', LOAD)
  const again = await send(server, 'POST', '/models?url=slow')
  assert.equal(again.status, 409, 'a registration does not wait')
  gated.open()
  assert.deepEqual([(await registering).status, (await load).status], [200, 200])
  assert.equal(await served(server), 'served')
  const { body } = await send(server, 'GET', '/models/slow/all')
  assert.equal(Object.keys(body).length, 1, 'one version is left')
})

test('B7: a v2 load that meets an older one of other files loads the new ones', async (t) => {
  const gated = gatedModel(t)
  const { server, registering } = await loadingServer(t, gated, LOAD)
  const service = path.join(sharedStore(t), 'slow', 'service.mjs')
  writeFileSync(service, `export function handle(data) { return data?.map(() => 'new') }`)
  const other = send(server, 'POST', LOAD)
  gated.open()
  assert.deepEqual([(await registering).status, (await other).status], [200, 200])
  assert.equal(await served(server), 'new')
})

test('B7: an unload during a load ends it; the one who loads gets 409', async (t) => {
  const gated = gatedModel(t)
  const { server, registering } = await loadingServer(t, gated, LOAD)
  const other = send(server, 'POST', LOAD)
  assert.equal((await send(server, 'POST', UNLOAD)).status, 200)
  for (const { status, body } of await Promise.all([registering, other])) {
    assert.equal(status, 409, JSON.stringify(body))
    assert.match(String(body['error']), /failed to load 'slow': .*unregistered/)
  }
  assert.equal((await server.fetch('/v2/models/slow/ready')).status, 404)
  gated.open()
  assert.equal((await send(server, 'POST', LOAD)).status, 200)
  assert.equal(await served(server), 'served')
  assert.equal((await send(server, 'POST', UNLOAD)).status, 200)
  assert.equal((await send(server, 'POST', UNLOAD)).status, 200)
})

test('B7: many loads and unloads at once end in what the last of them says', async (t) => {
  copyFileSync(iris, path.join(sharedStore(t), 'slow.onnx'))
  const server = await storeServer(t)
  const statuses = await Promise.all(
    Array.from({ length: 24 }, async (_, index) => {
      const { status } = await send(server, 'POST', index % 3 === 2 ? UNLOAD : LOAD)
      return status
    }),
  )
  assert.deepEqual(
    statuses.filter((status) => status !== 200 && status !== 409),
    [],
  )
  assert.equal((await send(server, 'POST', LOAD)).status, 200)
  assert.equal((await server.fetch('/v2/models/slow/ready')).status, 200)
  assert.equal((await send(server, 'POST', UNLOAD)).status, 200)
  assert.equal((await server.fetch('/v2/models/slow/ready')).status, 404)
  assert.deepEqual((await send(server, 'GET', '/models')).body, { models: [] })
})

test('B8: a model that is being loaded is described as LOADING on every route', async (t) => {
  const gated = gatedModel(t)
  const { server, registering } = await loadingServer(t, gated)
  const one = await send(server, 'GET', '/models/slow')
  assert.equal(one.status, 200)
  assert.equal(one.body['status'], 'LOADING')
  assert.deepEqual([one.body['modelName'], one.body['modelVersion']], ['slow', '1.0'])
  const [worker] = one.body['workers'] as { status: string }[]
  assert.equal(worker?.status, 'LOADING')
  for (const route of ['/models/slow/1.0', '/models/slow/all']) {
    const { status, body } = await send(server, 'GET', route)
    assert.equal(status, 200)
    assert.equal((Object.values(body)[0] as { status: string }).status, 'LOADING')
  }
  assert.equal((await send(server, 'GET', '/models/slow/2.0')).status, 404)
  const list = (await send(server, 'GET', '/models')).body
  const [{ startedAt = '', seconds = -1 } = {}] = list['loading'] as {
    startedAt?: string
    seconds?: number
  }[]
  assert.ok(seconds >= 0 && Date.now() - Date.parse(startedAt) < (seconds + 60) * 1000, startedAt)
  assert.deepEqual(list, {
    models: [],
    loading: [
      {
        modelName: 'slow',
        modelVersion: '1.0',
        modelUrl: 'slow',
        status: 'LOADING',
        startedAt,
        seconds,
      },
    ],
  })
  const index = await send(server, 'POST', '/v2/repository/index')
  assert.deepEqual(Object.values(index.body), [{ name: 'slow', version: '1.0', state: 'LOADING' }])
  for (const route of ['/v2/models/slow/ready', '/v2/models/slow/versions/1.0/ready']) {
    const ready = await server.fetch(route)
    assert.deepEqual([ready.status, await json(ready)], [503, { name: 'slow', ready: false }])
  }
  const metadata = await server.fetch('/v2/models/slow')
  assert.deepEqual(
    [metadata.status, await json(metadata)],
    [503, { error: 'Model slow is being loaded.' }],
  )
  assert.ok(metadata.headers.has('retry-after'))
  gated.open()
  assert.equal((await registering).status, 200)
  assert.equal((await send(server, 'GET', '/models/slow')).body['status'], 'READY')
  assert.deepEqual((await send(server, 'GET', '/models')).body, {
    models: [{ modelName: 'slow', modelUrl: 'slow' }],
  })
})

test('B8: PUT of a model that is being loaded waits for it, or gets 202 at once', async (t) => {
  const gated = gatedModel(t)
  const { server, registering } = await loadingServer(t, gated)
  const later = await send(server, 'PUT', '/models/slow?min_worker=3')
  assert.deepEqual([later.status, later.body['status']], [202, 'Processing worker updates...'])
  const waiting = send(server, 'PUT', '/models/slow/1.0?min_worker=2&synchronous=true')
  const byDefault = send(server, 'PUT', '/models/slow/1.0/set-default')
  assert.equal((await send(server, 'PUT', '/models/slow/2.0?min_worker=2')).status, 404)
  gated.open()
  assert.equal((await registering).status, 200)
  assert.deepEqual([(await waiting).status, (await byDefault).status], [200, 200])
  const { body } = await send(server, 'GET', '/models/slow')
  assert.deepEqual([body['minWorkers'], (body['workers'] as unknown[]).length], [2, 2])
})

test('B8: PUT of a model whose loading fails, fails as the loading does', async (t) => {
  const gated = gatedModel(t, 'slow', 'throw new Error("no luck")')
  const { server, registering } = await loadingServer(t, gated)
  const later = await send(server, 'PUT', '/models/slow?min_worker=3')
  assert.equal(later.status, 202)
  const waiting = send(server, 'PUT', '/models/slow?min_worker=2&synchronous=true')
  gated.open()
  const { status, body } = await waiting
  assert.equal(status, (await registering).status)
  assert.match(String(body['message']), /no luck/)
  assert.ok(
    await until(() => server.logLines.find(({ msg }) => msg === 'scaling failed')),
    'the other one is in the log',
  )
})

test('B8: DELETE of a version that is being loaded ends it and leaves the served one', async (t) => {
  const gated = gatedModel(t)
  copyFileSync(iris, path.join(sharedStore(t), 'iris.onnx'))
  const server = await storeServer(t)
  const old = await send(server, 'POST', '/models?url=iris.onnx&model_name=slow')
  assert.equal(old.status, 200)
  const registering = send(server, 'POST', '/models?url=slow&model_version=2')
  await until(() => gated.workers() === 1)
  const both = await send(server, 'GET', '/models/slow/all')
  assert.deepEqual(
    Object.values(both.body).map((version) => (version as { status: string }).status),
    ['READY', 'LOADING'],
  )
  assert.equal(
    (await server.fetch('/predictions/slow/2', { method: 'POST', body: 'x' })).status,
    503,
  )
  const metadata = (await json(await server.fetch('/v2/models/slow'))) as { versions: string[] }
  assert.deepEqual(metadata.versions, ['1.0'], 'clients are told of what they can ask')
  assert.equal((await send(server, 'DELETE', '/models/slow/2')).status, 200)
  assert.equal((await registering).status, 409)
  const left = await send(server, 'GET', '/models/slow/all')
  assert.equal(Object.values(left.body).length, 1)
  assert.equal((await send(server, 'DELETE', '/models/slow/2')).status, 404)
  assert.ok(existsSync(path.join(sharedStore(t), 'slow')))
})

test('B9: a registration in the background of a version that is there is 409, and nothing is listed as failed', async (t) => {
  const gated = gatedModel(t)
  const { server, registering } = await loadingServer(t, gated)
  const post = (): Promise<Answer> => send(server, 'POST', '/models?url=slow&synchronous=false')
  assert.equal((await post()).status, 409, 'while it is being loaded')
  gated.open()
  assert.equal((await registering).status, 200)
  const refused = await post()
  assert.deepEqual(
    [refused.status, refused.body['type'], refused.body['message']],
    [409, 'ConflictStatusException', 'Model slow is already registered.'],
  )
  assert.deepEqual((await send(server, 'GET', '/models')).body, {
    models: [{ modelName: 'slow', modelUrl: 'slow' }],
  })
  assert.equal(await served(server), 'served')
})

test('B9: what refuses a model before a process is started refuses it in the background as well', async (t) => {
  gatedModel(t)
  const server = await serve(t, [], { modelStore: sharedStore(t), load: 'none' })
  const refused = await send(server, 'POST', '/models?url=slow&synchronous=false')
  assert.deepEqual([refused.status, refused.body['type']], [403, 'HandlersNotAllowedException'])
  assert.deepEqual((await send(server, 'GET', '/models')).body, { models: [] })
})
