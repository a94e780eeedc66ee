/** Several versions of a model, and workers that come and go, under requests. */
import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { handlerModel, newGate } from '../helpers/handler-model.ts'
import { httpProcesses, workersFor } from '../helpers/http-processes.ts'
import { acceptedRequests } from '../helpers/observe.ts'
import { isAlive, json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const ask = (server: TestServer, route: string, body: string): Promise<Response> =>
  server.fetch(route, { method: 'POST', body, headers: { 'content-type': 'text/plain' } })

/** A model with the numbered versions 1 and 2. */
function twoVersions(t: TestContext): string {
  const folder = path.join(temporaryFolder(t), 'tool')
  const source = handlerModel(t, 'tool')
  for (const version of ['1', '2']) cpSync(source, path.join(folder, version), { recursive: true })
  return folder
}

interface Described {
  readonly modelVersion: string
  readonly minWorkers: number
  readonly maxWorkers: number
  readonly workers: { readonly pid: number; readonly status: string }[]
}

test('numbered folders are versions; the highest is the default until another is made it', async (t) => {
  const server = await serve(t, [twoVersions(t)], { allowHandlers: true })
  const described = async (route: string): Promise<Described[]> =>
    (await json(await server.manage(route))) as Described[]
  assert.deepEqual(
    (await described('/models/tool/all')).map(({ modelVersion }) => modelVersion),
    ['1', '2'],
  )
  assert.equal(((await json(await server.manage('/models/tool'))) as Described).modelVersion, '2')
  assert.equal((await described('/models/tool/1'))[0]?.modelVersion, '1')

  const pidsOf = async (version: string): Promise<number[]> =>
    (await described(`/models/tool/${version}`)).flatMap(({ workers }) =>
      workers.map(({ pid }) => pid),
    )
  const served = async (): Promise<number> =>
    ((await json(await ask(server, '/predictions/tool', 'pid'))) as { pid: number }).pid
  const one = await pidsOf('1')
  const two = await pidsOf('2')
  assert.ok(two.includes(await served()))

  const changed = await server.manage('/models/tool/1/set-default', { method: 'PUT' })
  assert.deepEqual(
    [changed.status, await json(changed)],
    [200, { status: 'Default version successfully updated for model "tool" to "1"' }],
  )
  assert.ok(one.includes(await served()))

  const refused = await server.manage('/models/tool/1', { method: 'DELETE' })
  assert.deepEqual(
    [refused.status, await json(refused)],
    [
      403,
      {
        code: 403,
        type: 'InvalidModelVersionException',
        message: 'Cannot remove default version for model tool',
      },
    ],
  )
  assert.equal((await server.manage('/models/tool/2', { method: 'DELETE' })).status, 200)
  assert.equal((await ask(server, '/predictions/tool/2', 'pid')).status, 404)
  assert.equal((await server.manage('/models/tool/1', { method: 'DELETE' })).status, 200)
  assert.equal((await server.manage('/models/tool')).status, 404)
  await until(() => [...one, ...two].every((pid) => !isAlive(pid)))
  for (const route of ['/models/tool/1', '/models/tool/1/set-default']) {
    assert.equal((await server.manage(route, { method: 'PUT' })).status, 404)
  }
})

test('workers are scaled up and down, to none and back, and a request in hand is finished first', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true })
  const scale = async (query: string): Promise<[number, unknown]> => {
    const answer = await server.manage(`/models/tool?${query}`, { method: 'PUT' })
    return [answer.status, await json(answer)]
  }
  const describe = async (): Promise<Described> =>
    (await json(await server.manage('/models/tool'))) as Described
  assert.deepEqual(await scale('min_worker=3&synchronous=true'), [
    200,
    { status: 'Workers scaled' },
  ])
  assert.equal((await describe()).workers.length, 3)

  const gate = newGate(t)
  const slow = Promise.all(
    [1, 2, 3].map(() => ask(server, '/predictions/tool', `wait:${gate.path}`)),
  )
  if (httpProcesses === 1) await gate.holds(3)
  else await until(async () => (await acceptedRequests(server, 'tool')) === 3)
  const scaled = scale('min_worker=1&max_worker=1&synchronous=true')
  gate.open()
  assert.deepEqual(await scaled, [200, { status: 'Workers scaled' }])
  assert.deepEqual(
    (await slow).map(({ status }) => status),
    [200, 200, 200],
  )
  const one = await describe()
  assert.deepEqual([one.minWorkers, one.maxWorkers, one.workers.length], [1, 1, workersFor(1)])

  assert.deepEqual(await scale('min_worker=0&synchronous=true'), [
    200,
    { status: 'Workers scaled' },
  ])
  await until(() => one.workers.every(({ pid }) => !isAlive(pid)))
  assert.equal((await ask(server, '/predictions/tool', 'echo:x')).status, 503)
  assert.deepEqual(await scale('min_worker=1'), [202, { status: 'Processing worker updates...' }])
  await until(async () => (await ask(server, '/predictions/tool', 'echo:x')).status === 200)
})

test('a worker that is not done when its time is up is stopped, and its request is told', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true, workers: 1 })
  const gate = newGate(t)
  const slow = ask(server, '/predictions/tool', `wait:${gate.path}`)
  await gate.holds(1)
  const scaled = await server.manage('/models/tool?min_worker=0&timeout=1&synchronous=true', {
    method: 'PUT',
  })
  assert.equal(scaled.status, 200)
  assert.ok((await slow).status >= 500)
})

test(
  'replacing the default version again and again under load fails no request',
  { timeout: 60_000 },
  async (t) => {
    const server = await serve(t, [], { allowLocalPaths: true, drainTimeout: 10 })
    const iris = path.resolve('examples/iris')
    const register = async (version: number): Promise<void> => {
      const answer = await server.manage(
        `/models?url=${iris}&model_name=iris&model_version=${version}`,
        { method: 'POST' },
      )
      assert.equal(answer.status, 200, await answer.text())
    }
    await register(1)
    let isOver = false
    const statuses = new Map<number, number>()
    const load = async (): Promise<void> => {
      while (!isOver) {
        const answer = await server.fetch('/predictions/iris', {
          method: 'POST',
          body: '{"features":[[5.1,3.5,1.4,0.2]]}',
          headers: { 'content-type': 'application/json' },
        })
        await answer.arrayBuffer()
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
      }
    }
    const clients = Promise.all([load(), load(), load(), load()])
    for (let version = 2; version <= 5; version += 1) {
      await register(version)
      assert.equal(
        (await server.manage(`/models/iris/${version}/set-default`, { method: 'PUT' })).status,
        200,
      )
      assert.equal(
        (await server.manage(`/models/iris/${version - 1}`, { method: 'DELETE' })).status,
        200,
      )
    }
    isOver = true
    await clients
    assert.deepEqual([...statuses.keys()], [200])
    assert.ok((statuses.get(200) ?? 0) > 20)
  },
)
