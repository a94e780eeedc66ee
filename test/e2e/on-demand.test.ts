/** Models that are loaded when their first request comes, and unloaded when memory is short. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { Settings } from '../../src/config/config.ts'
import { oneProcess } from '../helpers/http-processes.ts'
import { addedBy, numberedStore, writeNumbered } from '../helpers/numbered-models.ts'
import { acceptedRequests } from '../helpers/observe.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { childrenOf, isAlive, json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { entriesIn } from '../helpers/weight-cache.ts'
import { layers } from '../helpers/weight-models.ts'

function serveStore(t: Cleanup, modelStore: string, settings: Settings = {}): Promise<TestServer> {
  return serve(t, [], { modelStore, load: 'on-demand', ...settings })
}

async function stateOf(server: TestServer, name: string): Promise<string> {
  const response = await server.manage(`/models/${name}`)
  return ((await response.json()) as { status: string }).status
}

async function valueOf(server: TestServer, series: string): Promise<number | undefined> {
  const page = await (await server.manage('/metrics')).text()
  return parseMetrics(page).get(series)
}

test(
  'a store is ready without a worker; a model is loaded by its first request',
  { skip: oneProcess('the models in its memory') },
  async (t) => {
    const server = await serveStore(t, numberedStore(t, 3))
    assert.deepEqual(childrenOf(server.pid), [])
    assert.equal((await server.fetch('/v2/health/ready')).status, 200)
    assert.deepEqual(await (await server.fetch('/ping')).json(), { status: 'Healthy' })
    assert.equal(await stateOf(server, 'm2'), 'UNLOADED')
    assert.equal((await server.fetch('/v2/models/m2/ready')).status, 200, 'it serves requests')
    assert.equal(await addedBy(server, 'm2'), 2)
    await until(async () => (await stateOf(server, 'm2')) === 'READY')
    assert.equal(await stateOf(server, 'm1'), 'UNLOADED')
    assert.equal(childrenOf(server.pid).length, 1)
    const line = await server.logged(({ msg }) => msg === 'model loaded on demand')
    assert.equal(line['model'], 'm2')
    assert.ok(Number(line['ms']) > 0 && Number(line['memoryMib']) > 0)
    const index = await server.fetch('/v2/repository/index', { method: 'POST' })
    if (index.status === 200) assert.match(await index.text(), /"UNLOADED"/)
  },
)

test('the metadata of a model that is not loaded loads it', async (t) => {
  const server = await serveStore(t, numberedStore(t, 2))
  const metadata = await (await server.fetch('/v2/models/m1')).json()
  assert.deepEqual((metadata as { inputs: unknown }).inputs, [
    { name: 'x', datatype: 'FP32', shape: [-1] },
  ])
  await until(async () => (await stateOf(server, 'm1')) === 'READY')
})

test(
  'many first requests load a model once, and all are answered',
  { skip: oneProcess('the models in its memory') },
  async (t) => {
    const server = await serveStore(t, numberedStore(t, 2))
    const answers = await Promise.all(Array.from({ length: 40 }, () => addedBy(server, 'm1')))
    assert.deepEqual(new Set(answers), new Set([1]))
    assert.equal(childrenOf(server.pid).length, 1)
    // The load ends after the first responses: the memory of the worker is measured first.
    await server.logged(({ msg }) => msg === 'model loaded on demand')
    assert.equal(await valueOf(server, 'onnxd_model_loads_total{model="m1",version="1.0"}'), 1)
    const cold = 'onnxd_cold_request_seconds_count{model="m1",version="1.0"}'
    assert.equal(await valueOf(server, cold), 40)
    const page = await (await server.manage('/metrics')).text()
    assert.doesNotMatch(page, /model="m2"/, 'a model that nobody used has no series')
  },
)

test(
  'a small budget keeps few models; answers stay right, and pinned models stay',
  { skip: oneProcess('the models in its memory') },
  async (t) => {
    const store = numberedStore(t, 6)
    writeNumbered(store, 'm1', 1, { pinned: true })
    const server = await serveStore(t, store, { modelMemoryMib: 130 })
    for (let round = 0; round < 2; round += 1)
      for (let number = 1; number <= 6; number += 1)
        assert.equal(await addedBy(server, `m${number}`), number)
    assert.equal(await stateOf(server, 'm1'), 'READY', 'it is pinned')
    const workers = childrenOf(server.pid).length
    assert.ok(workers >= 1 && workers <= 4, `${workers} workers`)
    const used = await valueOf(server, 'onnxd_model_memory_used_bytes')
    assert.ok(used !== undefined && used > 0 && used <= 130 * 2 ** 20, `${used}`)
    const evictions = await valueOf(
      server,
      'onnxd_model_evictions_total{cause="memory",model="m2",version="1.0"}',
    )
    assert.ok(evictions !== undefined && evictions > 0)
  },
)

test(
  'a model that cannot be loaded says why, is not tried again at once, and heals',
  { skip: oneProcess('the models in its memory') },
  async (t) => {
    const store = numberedStore(t, 2)
    const server = await serveStore(t, store)
    writeFileSync(path.join(store, 'm1', 'model.onnx'), 'no model')
    const [first, second] = await Promise.all([addedBy(server, 'm1'), addedBy(server, 'm1')])
    assert.match(String(first), /^503 .*Model m1 could not be loaded/)
    assert.match(String(second), /^503 .*Model m1 could not be loaded/)
    const failures = (): number =>
      server.logLines.filter(({ msg }) => msg === 'model could not be loaded').length
    await until(() => failures() === 1)
    const response = await server.fetch('/v2/models/m1/infer', { method: 'POST', body: '{}' })
    assert.equal(response.status, 503)
    assert.ok(Number(response.headers.get('retry-after')) >= 1)
    assert.equal(failures(), 1, 'no second try within a second')
    assert.equal(await addedBy(server, 'm2'), 2, 'others are not disturbed')
    writeNumbered(store, 'm3', 3)
    const healed = await server.manage('/models?url=m3', { method: 'POST' })
    assert.equal(healed.status, 200)
    assert.equal(await addedBy(server, 'm3'), 3)
  },
)

test(
  'a model without requests is unloaded after its time',
  { skip: oneProcess('the models in its memory') },
  async (t) => {
    const server = await serveStore(t, numberedStore(t, 1), { unloadAfterSeconds: 1 })
    assert.equal(await addedBy(server, 'm1'), 1)
    const line = await server.logged(({ msg }) => msg === 'model unloaded')
    assert.equal(line['cause'], 'idle')
    assert.equal(await stateOf(server, 'm1'), 'UNLOADED')
    await until(() => childrenOf(server.pid).length === 0)
    assert.equal(await addedBy(server, 'm1'), 1)
  },
)

test(
  'a model can be unregistered, scaled and stopped while it is loaded',
  { skip: oneProcess('the models in its memory') },
  async (t) => {
    const server = await serveStore(t, numberedStore(t, 3))
    const [waiting, unregistered] = [
      addedBy(server, 'm1'),
      server.manage('/models/m1', { method: 'DELETE' }),
    ]
    assert.equal((await unregistered).status, 200)
    assert.match(String(await waiting), /^(1$|404)/)
    assert.match(String(await addedBy(server, 'm1')), /^404/)
    const scale = (name: string, workers: number): Promise<Response> =>
      server.manage(`/models/${name}?min_worker=${workers}&synchronous=true`, { method: 'PUT' })
    assert.equal((await scale('m2', 2)).status, 200)
    assert.equal(await stateOf(server, 'm2'), 'UNLOADED', 'workers start with the first request')
    assert.equal(await addedBy(server, 'm2'), 2)
    assert.equal(childrenOf(server.pid).length, 2)
    assert.ok((await scale('m2', 0)).ok)
    await until(() => childrenOf(server.pid).length === 0)
    assert.match(String(await addedBy(server, 'm2')), /^503/, 'no worker is wanted')
    assert.ok((await scale('m2', 1)).ok)
    assert.equal(await addedBy(server, 'm2'), 2)
  },
)

test('a stop ends no load that an accepted request waits for', async (t) => {
  const server = await serveStore(t, numberedStore(t, 4), { logLevel: 'debug' })
  // The first two load, and the others wait for their turn.
  const names = ['m1', 'm2', 'm3', 'm4']
  let ended = 0
  const answers = names.map((name) => addedBy(server, name).finally(() => (ended += 1)))
  await until(async () => {
    const counts = await Promise.all(names.map((name) => acceptedRequests(server, name)))
    return counts.reduce((sum, count) => sum + count, ended) >= names.length
  })
  await server.close()
  assert.deepEqual(await Promise.all(answers), [1, 2, 3, 4])
})

test(
  'a model that failed and was unloaded is loaded by its next request',
  { skip: oneProcess('the models in its memory') },
  async (t) => {
    // All workers have to die within this time: a model that was unloaded does not fail.
    const server = await serveStore(t, numberedStore(t, 1), { unloadAfterSeconds: 10 })
    assert.equal(await addedBy(server, 'm1'), 1)
    // Workers that die while they load count as deaths of the model.
    while ((await stateOf(server, 'm1')) !== 'FAILED') {
      for (const pid of childrenOf(server.pid)) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
      await until(
        async () => childrenOf(server.pid).length > 0 || (await stateOf(server, 'm1')) === 'FAILED',
      )
    }
    assert.match(String(await addedBy(server, 'm1')), /^503 .*failed/)
    await server.logged(({ msg }) => msg === 'model unloaded')
    assert.equal(await addedBy(server, 'm1'), 1)
  },
)

test(
  'a first request does not wait for a new entry of the weight cache; the next load uses it',
  { skip: oneProcess('the models in its memory') },
  async (t) => {
    const store = numberedStore(t, 1)
    writeFileSync(path.join(store, 'large.onnx'), layers(256, 4))
    const cacheDir = path.join(temporaryFolder(t), 'cache')
    const settings = {
      cacheDir,
      weightCache: 'auto',
      weightCacheMinMib: 1,
      unloadAfterSeconds: 1,
    } as const
    const server = await serveStore(t, store, settings)
    const weightsState = async (): Promise<string> => {
      const answer = await json(await server.manage('/models/large/all'))
      return (answer as [{ weights: { state: string } }])[0].weights.state
    }
    const data = Array.from({ length: 256 }, (_, index) => index % 5)
    const body = JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 256], data }],
    })
    const request = async (): Promise<unknown> => {
      const answer = await server.fetch('/v2/models/large/infer', { method: 'POST', body })
      assert.equal(answer.status, 200)
      return ((await json(answer)) as { outputs: unknown }).outputs
    }
    const [child] = await Promise.all([until(() => childrenOf(server.pid)[0]), request()])
    const first = await request()
    await server.logged(({ msg }) => msg === 'the next load shares the weights of the model')
    const messages = server.logLines.map(({ msg }) => msg)
    const [loaded, built] = [
      'model loaded on demand',
      'the next load shares the weights of the model',
    ]
    assert.ok(messages.indexOf(loaded) < messages.indexOf(built), messages.join('\n'))
    assert.equal(entriesIn(cacheDir).length, 1)
    await until(() => !childrenOf(server.pid).includes(child))
    assert.deepEqual(await request(), first)
    assert.equal(await weightsState(), 'shared')
    const [worker = 0] = childrenOf(server.pid)
    assert.match(readFileSync(`/proc/${worker}/maps`, 'utf8'), /weights\.bin/)
  },
)
