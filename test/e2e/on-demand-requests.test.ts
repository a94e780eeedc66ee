/** Requests that make a model load on demand, load it now, and list what is loaded. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { httpProcesses, oneProcess } from '../helpers/http-processes.ts'
import { addedBy, numberedStore, writeNumbered } from '../helpers/numbered-models.ts'
import { childrenOf, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const POST = { method: 'POST' }

interface Shown {
  readonly status: string
  readonly settings: { readonly loadOnDemand: { readonly value: boolean; readonly from: string } }
}

async function shown(server: TestServer, name: string): Promise<Shown> {
  return (await (await server.manage(`/models/${name}`)).json()) as Shown
}

async function stateOf(server: TestServer, name: string): Promise<string> {
  return (await shown(server, name)).status
}

async function indexOf(server: TestServer, body: object): Promise<unknown[]> {
  const init = { ...POST, body: JSON.stringify(body) }
  const response = await server.manage('/v2/repository/index', init)
  const entries = (await response.json()) as { name: string; state?: string }[]
  return entries.map(({ name, state }) => [name, state])
}

async function errorOf(response: Response): Promise<string> {
  return ((await response.json()) as { error: string }).error
}

test('a registration can make a model load on demand or at once, also after a restart', async (t) => {
  const modelStore = numberedStore(t, 2)
  const stateDir = temporaryFolder(t)
  writeNumbered(modelStore, 'm3', 3, { loadOnDemand: true })
  const settings = { modelStore, stateDir, load: 'none' }
  const first = await serve(t, [], settings)
  const register = async (query: string): Promise<unknown> =>
    (await first.manage(`/models?${query}`, POST)).json()
  const registered = await register('url=m1&load_on_demand=true')
  assert.deepEqual(registered, { status: 'Model "m1" registered' })
  assert.deepEqual(await register('url=m3&load_on_demand=false'), { status: 'Workers scaled' })
  assert.deepEqual(await register('url=m2'), { status: 'Workers scaled' })
  const check = async (server: TestServer): Promise<void> => {
    assert.equal(await stateOf(server, 'm1'), 'UNLOADED')
    const origins = { m1: [true, 'request'], m2: [false, 'default'], m3: [false, 'request'] }
    for (const [name, origin] of Object.entries(origins)) {
      const { value, from } = (await shown(server, name)).settings.loadOnDemand
      assert.deepEqual([value, from], origin, name)
    }
    assert.equal(childrenOf(server.pid).length, 2 * httpProcesses)
    assert.equal(await addedBy(server, 'm1'), 1)
    await until(async () => (await stateOf(server, 'm1')) === 'READY')
  }
  await check(first)
  await first.close()
  await check(await serve(t, [], settings))
})

test('a load by name loads a model now; the index lists what is loaded', async (t) => {
  const modelStore = numberedStore(t, 3)
  const server = await serve(t, [], { modelStore, load: 'on-demand' })
  const repository = (name: string, action: string): Promise<Response> =>
    server.manage(`/v2/repository/models/${name}/${action}`, POST)
  assert.deepEqual(await indexOf(server, { ready: true }), [])
  const loads = await Promise.all([repository('m2', 'load'), repository('m2', 'load')])
  assert.deepEqual(
    loads.map(({ status }) => status),
    [200, 200],
  )
  assert.equal(await stateOf(server, 'm2'), 'READY')
  assert.deepEqual(await indexOf(server, { ready: true }), [['m2', 'READY']])
  assert.deepEqual(await indexOf(server, {}), [
    ['m1', 'UNLOADED'],
    ['m2', 'READY'],
    ['m3', 'UNLOADED'],
  ])
  assert.equal(childrenOf(server.pid).length, 1)
  writeFileSync(path.join(modelStore, 'm2', 'model.onnx'), 'no model')
  const refused = await repository('m2', 'load')
  assert.equal(refused.status, 400)
  assert.match(await errorOf(refused), /^failed to load 'm2': /)
  assert.equal(await addedBy(server, 'm2'), 2, 'the loaded model stays')
  writeNumbered(modelStore, 'm2', 22)
  assert.equal((await repository('m2', 'load')).status, 200)
  assert.equal(await addedBy(server, 'm2'), 22)
  assert.equal((await repository('m2', 'unload')).status, 200)
  assert.match(String(await addedBy(server, 'm2')), /^404/)
  assert.deepEqual(await indexOf(server, { ready: true }), [])
})

test(
  'requests that wait for a load are answered, whatever replaces or removes the model',
  { skip: oneProcess('the models in its memory') },
  async (t) => {
    const modelStore = numberedStore(t, 4)
    const server = await serve(t, [], { modelStore, load: 'on-demand' })
    const many = (name: string): Promise<unknown[]> =>
      Promise.all(Array.from({ length: 5 }, () => addedBy(server, name)))
    // The last two wait for their turn, because the first two load.
    const names = ['m1', 'm2', 'm3', 'm4']
    const answers = names.map(many)
    await until(async () => {
      const states = await Promise.all(names.map((name) => stateOf(server, name)))
      // On a slow machine the first may be loaded before the last has begun.
      return states.every((state) => state !== 'UNLOADED')
    })
    const changes = await Promise.all([
      server.manage('/v2/repository/models/m1/load', POST),
      server.manage('/models/m2', { method: 'DELETE' }),
      server.manage('/v2/repository/models/m3/load', POST),
      server.manage('/models/m4', { method: 'DELETE' }),
    ])
    assert.deepEqual(
      changes.map(({ status }) => status),
      [200, 200, 200, 200],
    )
    assert.deepEqual(
      await Promise.all(answers),
      names.map((_, index) => Array(5).fill(index + 1)),
    )
    await until(() => childrenOf(server.pid).length === 2)
  },
)

test('a load by name that is ended by an unload leaves no worker', async (t) => {
  const modelStore = numberedStore(t, 1)
  const server = await serve(t, [], { modelStore, load: 'on-demand' })
  const loading = server.manage('/v2/repository/models/m1/load', POST)
  await until(() => childrenOf(server.pid).length > 0)
  const unloaded = await server.manage('/v2/repository/models/m1/unload', POST)
  assert.equal(unloaded.status, 200)
  assert.match(String((await loading).status), /^(200|409)$/)
  assert.match(String(await addedBy(server, 'm1')), /^404/)
  assert.deepEqual(childrenOf(server.pid), [])
})
