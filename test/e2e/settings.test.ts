/** The settings that a model runs with, and who set them, as `GET /models/{model}` shows them. */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { workersFor } from '../helpers/http-processes.ts'
import { json, serve, temporaryFolder } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const network = path.resolve('examples/iris/model.onnx')

interface Description {
  readonly startupTimeout: number
  readonly settings: Record<string, { value: unknown; from: string }>
}

const describe = async (server: TestServer, name: string): Promise<Description> =>
  (await json(await server.manage(`/models/${name}`))) as Description

test('each setting says who set it: the request, a file of the model, the server, nobody', async (t) => {
  const store = temporaryFolder(t)
  const folder = path.join(store, 'iris')
  mkdirSync(path.join(folder, '1'), { recursive: true })
  cpSync(network, path.join(folder, '1', 'model.onnx'))
  writeFileSync(
    path.join(folder, 'config.pbtxt'),
    'max_batch_size: 4\ndynamic_batching { max_queue_delay_microseconds: 3000 priority_levels: 4 default_priority_level: 7 }',
  )
  writeFileSync(path.join(folder, 'model.json'), '{"batchSize": 6, "threads": 1, "warmUp": false}')
  const server = await serve(t, [], {
    modelStore: store,
    load: 'none',
    loadTimeout: 90,
    providers: ['cpu'],
  })
  const query = 'url=iris&initial_workers=2&response_timeout=7&startup_timeout=33'
  assert.equal((await server.manage(`/models?${query}`, { method: 'POST' })).status, 200)
  const { settings, startupTimeout } = await describe(server, 'iris')
  assert.deepEqual(settings, {
    handler: { value: 'onnx', from: 'default' },
    workers: { value: 2, from: 'request' },
    batchSize: { value: 6, from: 'model.json' },
    maxBatchSize: { value: 4, from: 'config.pbtxt' },
    maxBatchDelay: { value: 3, from: 'config.pbtxt' },
    joinBatches: { value: 'auto', from: 'default' },
    priorityLevels: { value: 4, from: 'config.pbtxt' },
    defaultPriorityLevel: { value: 4, from: 'config.pbtxt' },
    responseTimeout: { value: 7, from: 'request' },
    startupTimeout: { value: 33, from: 'request' },
    loadOnDemand: { value: false, from: 'default' },
    threads: { value: 1, from: 'model.json' },
    graphOptimization: { value: 'all', from: 'default' },
    providers: { value: ['cpu'], from: 'command line' },
    warmUp: { value: false, from: 'model.json' },
  })
  assert.equal(startupTimeout, 33)
  const config = (await json(await server.fetch('/v2/models/iris/config'))) as object
  assert.deepEqual('dynamic_batching' in config && config.dynamic_batching, {
    preferred_batch_size: [6],
    max_queue_delay_microseconds: 3000,
    priority_levels: 4,
    default_priority_level: 4,
  })
})

test('a batch delay may be learned, for one model or for all', async (t) => {
  const tool = handlerModel(t, 'tool', { batchSize: 4 })
  const plain = handlerModel(t, 'plain', { maxBatchDelay: 7 })
  const server = await serve(t, [tool, plain], { allowHandlers: true, maxBatchDelay: 'auto' })
  const delayOf = async (name: string): Promise<unknown> =>
    (await describe(server, name)).settings['maxBatchDelay']
  assert.deepEqual(await delayOf('tool'), { value: 'auto', from: 'command line' })
  assert.deepEqual(await delayOf('plain'), { value: 7, from: 'model.json' })
  const answers = await Promise.all(
    Array.from({ length: 20 }, () =>
      server.fetch('/predictions/tool', { method: 'POST', body: 'echo:x' }),
    ),
  )
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])

  const other = await sharedServer([], { allowHandlers: true, allowLocalPaths: true })
  const register = (delay: string): Promise<Response> =>
    other.manage(`/models?url=${plain}&model_name=m${delay}&max_batch_delay=${delay}`, {
      method: 'POST',
    })
  assert.equal((await register('auto')).status, 200)
  assert.equal((await register('12')).status, 200)
  assert.equal((await register('often')).status, 400)
  const { settings } = await describe(other, 'mauto')
  assert.deepEqual(settings['maxBatchDelay'], { value: 'auto', from: 'request' })
  const second = (await describe(other, 'm12')).settings
  assert.deepEqual(second['maxBatchDelay'], { value: 12, from: 'request' })
})

test('a scaled model has its number of workers from the request that scaled it', async (t) => {
  const settings = { allowHandlers: true }
  const environment = { ONNXD_THREADS: undefined }
  const server = await serve(t, [handlerModel(t, 'tool')], settings, { environment })
  const before = (await describe(server, 'tool')).settings
  assert.deepEqual(before.workers, { value: 1, from: 'default' })
  const threads = Math.max(1, Math.floor(availableParallelism() / workersFor(1)))
  assert.deepEqual(before.threads, { value: threads, from: 'default' })
  assert.deepEqual(before.handler, { value: 'service.mjs:handle', from: 'model.json' })
  const scaled = await server.manage('/models/tool?min_worker=2&synchronous=true', {
    method: 'PUT',
  })
  assert.equal(scaled.status, 200)
  const after = (await describe(server, 'tool')).settings
  assert.deepEqual(after.workers, { value: 2, from: 'request' })
})

test('a model that loads longer than its own startup_timeout is refused', async (t) => {
  const folder = handlerModel(t, 'slow')
  writeFileSync(
    path.join(folder, 'service.mjs'),
    'await new Promise(() => setInterval(() => {}, 1000))',
  )
  const server = await sharedServer([], { allowHandlers: true, allowLocalPaths: true })
  const answer = await server.manage(`/models?url=${folder}&startup_timeout=2`, { method: 'POST' })
  const { code, message } = (await json(answer)) as { code: number; message: string }
  assert.equal(code, 504)
  assert.match(message, /took longer than 2 s/)
  for (const bad of ['0', '-1', '86401', 'soon']) {
    const refused = await server.manage(`/models?url=${folder}&startup_timeout=${bad}`, {
      method: 'POST',
    })
    assert.equal(refused.status, 400, bad)
  }
})

test('levels of priority may come with a registration or a load, and a restart remembers them', async (t) => {
  const modelStore = temporaryFolder(t)
  for (const name of ['query', 'body', 'form', 'load'])
    cpSync(network, path.join(modelStore, `${name}.onnx`))
  const settings = { modelStore, load: 'none', stateDir: temporaryFolder(t), priorityLevels: 5 }
  const server = await serve(t, [], settings)
  const statusOf = async (route: string, init: RequestInit = {}): Promise<number> =>
    (await server.manage(route, { method: 'POST', ...init })).status
  const query = '/models?url=query.onnx&model_name=query&priority_levels='
  for (const wrong of ['0', '1001', 'many', '3&default_priority_level=1001'])
    assert.equal(await statusOf(query + wrong), 400, wrong)
  assert.equal(await statusOf(`${query}1000&default_priority_level=900`), 200)
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ url: 'body.onnx', priority_levels: 3, default_priority_level: 7 })
  assert.equal(await statusOf('/models', { headers, body }), 200)
  const form = new FormData()
  form.set('default_priority_level', '1')
  form.set('model', new Blob([readFileSync(network)]), 'form.onnx')
  assert.equal(await statusOf('/models', { body: form }), 200)
  const load = (levels: unknown): Promise<number> => {
    const config = JSON.stringify({
      dynamic_batching: { priority_levels: levels, default_priority_level: 2 },
    })
    return statusOf('/v2/repository/models/load/load', {
      headers,
      body: JSON.stringify({ parameters: { config } }),
    })
  }
  assert.equal(await load(1001), 400)
  assert.equal(await load('6'), 200)

  const levels = async (of: TestServer): Promise<unknown> =>
    Promise.all(
      ['query', 'body', 'form', 'load'].map(async (name) => {
        const shown = (await describe(of, name)).settings
        return [shown['priorityLevels'], shown['defaultPriorityLevel']]
      }),
    )
  const expected = [
    [
      { value: 1000, from: 'request' },
      { value: 900, from: 'request' },
    ],
    [
      { value: 3, from: 'request' },
      { value: 3, from: 'request' },
    ],
    [
      { value: 5, from: 'command line' },
      { value: 1, from: 'request' },
    ],
    [
      { value: 6, from: 'request' },
      { value: 2, from: 'request' },
    ],
  ]
  assert.deepEqual(await levels(server), expected)
  const ask = async (priority: number): Promise<number> => {
    const answer = await server.fetch('/predictions/query', {
      method: 'POST',
      body: '[5.8,2.7,5.1,1.9]',
      headers: { ...headers, 'onnxd-priority': String(priority) },
    })
    return answer.status
  }
  assert.deepEqual([await ask(1000), await ask(1001)], [200, 400])
  await server.close()
  assert.deepEqual(await levels(await serve(t, [], settings)), expected)
})
