/**
 * The Open Inference Protocol in the front-end: metadata, configuration, statistics, repository,
 * errors.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { test } from 'node:test'
import { oneProcess } from '../helpers/http-processes.ts'
import { json, serve, temporaryFolder, until } from '../helpers/server.ts'
import type { Cleanup, TestServer } from '../helpers/server.ts'
import { sharedServer, sharedStore, storeServer } from '../helpers/shared-server.ts'

const iris = path.resolve('examples/iris')
const FLOWER = {
  inputs: [{ name: 'features', datatype: 'FP32', shape: [1, 4], data: [5.1, 3.5, 1.4, 0.2] }],
}

const post = (body: unknown): RequestInit => ({ method: 'POST', body: JSON.stringify(body) })

/** Status, body and type of an answer. */
async function seen(answer: Response): Promise<[number, unknown, string | null]> {
  return [answer.status, await json(answer), answer.headers.get('content-type')]
}

/** The members of `expected` are there, and equal; others may be too. */
function assertHas(actual: unknown, expected: Readonly<Record<string, unknown>>): void {
  assert.ok(typeof actual === 'object' && actual !== null)
  const members = Object.entries(actual).filter(([name]) => Object.hasOwn(expected, name))
  assert.deepEqual(Object.fromEntries(members), expected)
}

/** A store with one model of two numbered versions. */
function store(t: Cleanup, folder = temporaryFolder(t)): string {
  for (const version of ['1', '2']) {
    const target = path.join(folder, 'flowers', version)
    mkdirSync(target, { recursive: true })
    cpSync(path.join(iris, 'model.onnx'), path.join(target, 'model.onnx'))
  }
  return folder
}

const load = (server: TestServer, name: string, body?: unknown): Promise<Response> =>
  server.manage(
    `/v2/repository/models/${name}/load`,
    body === undefined ? { method: 'POST' } : post(body),
  )

test('server and model metadata, with and without a version', async (t) => {
  const server = await serve(t, [], { modelStore: store(t) })
  const [status, metadata] = await seen(await server.fetch('/v2/'))
  assert.equal(status, 200)
  assert.ok(typeof metadata === 'object' && metadata !== null)
  assert.deepEqual(Object.keys(metadata), ['name', 'version', 'extensions'])
  const inputs = [{ name: 'features', datatype: 'FP32', shape: [-1, 4] }]
  const model = await json(await server.fetch('/v2/models/flowers?a=1'))
  assertHas(model, {
    name: 'flowers',
    versions: ['1', '2'],
    platform: 'onnxruntime_onnx',
    inputs,
  })
  const one = await json(await server.fetch('/v2/models/flowers/versions/1'))
  assertHas(one, { name: 'flowers', versions: ['1'], inputs })
  assert.deepEqual(await json(await server.fetch('/v2/models')), { models: ['flowers'] })
  assert.deepEqual(await json(await server.fetch('/v1/models')), {
    models: ['flowers'],
    object: 'list',
    data: [{ id: 'flowers', object: 'model', created: 0, owned_by: 'onnxd' }],
  })
})

test('every error on these paths is one member and plain JSON', async () => {
  const server = await sharedServer([iris])
  const form = new FormData()
  form.set('features', '[1,2,3,4]')
  const cases: [string, RequestInit, number, RegExp][] = [
    ['/v2/models/x', {}, 404, /^Request for unknown model: 'x' is not found$/],
    ['/v2/models/iris/versions/9', {}, 404, /^Request for unknown model: 'iris' version 9 is not/],
    ['/v2/models/x/infer', post(FLOWER), 404, /^Request for unknown model/],
    ['/v2/models/x/stats', {}, 404, /^Request for unknown model/],
    ['/v2/models/iris/infer', { method: 'POST', body: form }, 415, /multipart/],
    ['/v2/models/iris/infer', {}, 405, /not allowed/],
    ['/v2/nothing', {}, 404, /not found/],
    ['/v1/models/x', {}, 404, /^Request for unknown model/],
    ['/v1/models/x:predict', post({ instances: [] }), 404, /^Request for unknown model/],
    ['/v2/repository/index', post({}), 503, /--expose-repository/],
  ]
  for (const [route, init, status, text] of cases) {
    const answer = await seen(await server.fetch(route, init))
    const body = answer[1]
    assert.ok(typeof body === 'object' && body !== null && 'error' in body, route)
    assert.deepEqual(
      [answer[0], Object.keys(body), answer[2]],
      [status, ['error'], 'application/json'],
      route,
    )
    assert.match(String(body.error), text)
  }
})

test('a body that is too large is refused in the words of its dialect', async (t) => {
  const server = await serve(t, [iris], { maxBodyBytes: 1000 })
  const body = { method: 'POST', body: Buffer.alloc(1001) }
  const [status, refusal] = await seen(await server.fetch('/v2/models/iris/infer', body))
  assert.equal(status, 413)
  assert.deepEqual(Object.keys(refusal as object), ['error'])
})

test(
  'statistics count what was answered, what failed, and how long it took',
  { skip: oneProcess('its statistics') },
  async (t) => {
    const server = await serve(t, [iris])
    const statistics = async (route: string) => {
      const body = (await json(await server.fetch(route))) as { model_stats: Statistics[] }
      assert.equal(body.model_stats.length, 1)
      return body.model_stats[0] ?? assert.fail()
    }
    const before = await statistics('/v2/models/iris/stats')
    assert.deepEqual([before.inference_count, before.last_inference], [0, 0])
    const startedAt = Date.now()
    for (let index = 0; index < 3; index++) {
      assert.equal((await server.fetch('/v2/models/iris/infer', post(FLOWER))).status, 200)
    }
    assert.equal((await server.fetch('/v2/models/iris/infer', post({}))).status, 400)
    const two = [5.1, 3.5, 1.4, 0.2, 5.8, 2.7, 5.1, 1.9]
    const batch = { inputs: [{ ...FLOWER.inputs[0], shape: [2, 4], data: two }] }
    const answer = await server.fetch('/v2/models/iris/infer', post(batch))
    assert.deepEqual([answer.status, answer.headers.get('onnxd-rows')], [200, null])
    for (const route of [
      '/v2/models/iris/stats',
      '/v2/models/iris/versions/1.0/stats',
      '/v2/models/stats',
    ]) {
      const after = await statistics(route)
      assert.deepEqual([after.inference_count, after.execution_count], [5, 5])
      const { success, fail, queue, ...parts } = after.inference_stats
      assert.deepEqual([success.count, fail.count], [4, 1])
      assert.ok(success.ns > 0 && Number.isInteger(success.ns))
      const compute = [parts.compute_input, parts.compute_infer, parts.compute_output]
      assert.ok(compute.every(({ count, ns }) => count === 5 && ns > 0 && Number.isInteger(ns)))
      // What is left is the way to the worker and back.
      const whole = success.ns + fail.ns - queue.ns
      assert.ok(compute.reduce((sum, { ns }) => sum + ns, 0) < whole)
      assert.ok(after.last_inference >= startedAt - 1 && after.last_inference <= Date.now() + 1)
    }
  },
)

interface Statistics {
  readonly inference_count: number
  readonly execution_count: number
  readonly last_inference: number
  readonly inference_stats: Record<
    'success' | 'fail' | 'queue' | 'compute_input' | 'compute_infer' | 'compute_output',
    { count: number; ns: number }
  >
}

test('explicit mode: the index lists what could be loaded; load and unload by name', async (t) => {
  const server = await storeServer(t)
  store(t, sharedStore(t))
  const index = async (body: unknown = {}) =>
    json(await server.manage('/v2/repository/index', post(body)))
  assert.deepEqual(await index(), [{ name: 'flowers' }])
  assert.deepEqual(await index({ ready: true }), [])
  assert.equal((await server.manage('/v2/repository/index', post({ ready: 'yes' }))).status, 400)
  assert.deepEqual(await seen(await load(server, 'flowers')), [200, {}, 'application/json'])
  assert.deepEqual(await index({ ready: true }), [
    { name: 'flowers', version: '1', state: 'READY' },
    { name: 'flowers', version: '2', state: 'READY' },
  ])
  const unload = () =>
    server.manage(
      '/v2/repository/models/flowers/unload',
      post({ parameters: { unload_dependents: true } }),
    )
  assert.equal((await unload()).status, 200)
  assert.equal((await unload()).status, 200)
  assert.equal((await server.fetch('/v2/models/flowers/ready')).status, 404)
  assert.deepEqual(await index(), [{ name: 'flowers' }])
  const unknown = await server.manage('/v2/repository/models/x/unload', { method: 'POST' })
  assert.equal(unknown.status, 404)
})

test('a model of the command line can be unloaded and loaded again', async (t) => {
  const server = await serve(t, [`flowers=${iris}`])
  const unload = await server.manage('/v2/repository/models/flowers/unload', { method: 'POST' })
  assert.equal(unload.status, 200)
  assert.deepEqual(await json(await server.manage('/v2/repository/index', { method: 'POST' })), [
    { name: 'flowers' },
  ])
  assert.equal((await load(server, 'flowers')).status, 200)
  assert.equal((await server.fetch('/v2/models/flowers/infer', post(FLOWER))).status, 200)
})

test('a load that fails leaves the model that serves as it is', async (t) => {
  const folder = store(t)
  const server = await serve(t, [], { modelStore: folder })
  const pids = async () => {
    const versions = (await json(await server.manage('/models/flowers/all'))) as {
      workers: { pid: number }[]
    }[]
    return versions.flatMap(({ workers }) => workers.map(({ pid }) => pid))
  }
  const before = await pids()
  writeFileSync(path.join(folder, 'flowers', '2', 'model.onnx'), 'no network')
  const cases: unknown[] = [
    {},
    { parameters: { config: '{not JSON' } },
    { parameters: { config: '{"max_batch_size":"many"}' } },
    { parameters: { 'file:1/model.onnx': 'AAAA' } },
  ]
  for (const body of cases) {
    const [status, refusal] = await seen(await load(server, 'flowers', body))
    assert.ok(status >= 400 && status < 500, String(status))
    assert.match(JSON.stringify(refusal), /^\{"error":"failed to load 'flowers': /)
  }
  assert.deepEqual(await pids(), before)
  assert.equal((await server.fetch('/v2/models/flowers/infer', post(FLOWER))).status, 200)
})

test('a model that is loaded again takes over with its new configuration, and the old workers end', async (t) => {
  const folder = store(t)
  const server = await serve(t, [], { modelStore: folder })
  rmSync(path.join(folder, 'flowers', '1'), { recursive: true })
  const config = JSON.stringify({ max_batch_size: '16', instance_group: [{ count: 2 }] })
  assert.equal((await load(server, 'flowers', { parameters: { config } })).status, 200)
  const shown = await json(await server.fetch('/v2/models/flowers/config'))
  assertHas(shown, {
    name: 'flowers',
    max_batch_size: 16,
    input: [
      {
        name: 'features',
        data_type: 'TYPE_FP32',
        dims: [4],
        is_shape_tensor: false,
        format: 'FORMAT_NONE',
        allow_ragged_batch: false,
        optional: false,
      },
    ],
    instance_group: [{ name: 'flowers', kind: 'KIND_CPU', count: 2, gpus: [] }],
  })
  assertHas(await json(await server.fetch('/v2/models/flowers')), {
    versions: ['2'],
  })
  await until(async () => {
    const versions = (await json(await server.manage('/models/flowers/all'))) as unknown[]
    return versions.length === 1
  })
})

test('names that would be paths are refused', async (t) => {
  const server = await storeServer(t)
  store(t, sharedStore(t))
  for (const name of ['..%2Fflowers', '%2e%2e', 'a%2Fb', '%20', '-x']) {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const { host } = new URL(server.managementUrl)
      const [hostname, port] = host.split(':')
      const route = `/v2/repository/models/${name}/load`
      request({ hostname, port, path: route, method: 'POST' }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      })
        .on('error', reject)
        .end()
    })
    assert.ok(status !== undefined && status >= 400 && status < 500, `${name}: ${status}`)
  }
})

test('a model that was registered without workers is described once it has some', async (t) => {
  const server = await storeServer(t)
  cpSync(iris, path.join(sharedStore(t), 'iris'), { recursive: true })
  const registered = await server.manage('/models?url=iris&model_name=late&initial_workers=0', {
    method: 'POST',
  })
  assert.equal(registered.status, 200)
  assertHas(await json(await server.fetch('/v2/models/late')), { inputs: [] })
  // As Python writes it.
  const scaled = await server.manage('/models/late?min_worker=1&synchronous=True', {
    method: 'PUT',
  })
  assert.equal(scaled.status, 200)
  assertHas(await json(await server.fetch('/v2/models/late')), {
    inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 4] }],
  })
})

test('two lengths of the JSON in one request are refused', async () => {
  const server = await sharedServer([iris])
  const { host, hostname, port } = new URL(server.inferenceUrl)
  const body = JSON.stringify(FLOWER)
  const length = 'Inference-Header-Content-Length'
  for (const [lengths, status] of [
    [[length, String(body.length)], 200],
    [[length, String(body.length), length, '7'], 400],
    [[length, '7', length.toLowerCase(), String(body.length)], 400],
  ] as const) {
    const headers = ['Host', host, 'Content-Length', String(body.length), ...lengths]
    const route = '/v2/models/iris/infer'
    const sent = request({ hostname, port, path: route, method: 'POST', headers })
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>
    sent.end(body)
    const [answer] = await answered
    answer.resume()
    assert.equal(answer.statusCode, status, lengths.join())
  }
})

test('while the server stops it takes no connection, and a request that is on its way is answered', async (t) => {
  const server = await serve(t, [iris])
  const { hostname, port } = new URL(server.inferenceUrl)
  const body = JSON.stringify(FLOWER)
  const infer = request({
    hostname,
    port,
    path: '/v2/models/iris/infer',
    method: 'POST',
    headers: { 'content-length': body.length, expect: '100-continue' },
  })
  const answered = once(infer, 'response') as Promise<[IncomingMessage]>
  infer.flushHeaders()
  await once(infer, 'continue')
  const closing = server.close()
  infer.write(body.slice(0, 10))
  const isRefused = (): Promise<boolean> =>
    server.fetch('/v2/health/ready').then(
      () => false,
      () => true,
    )
  await until(isRefused)
  infer.end(body.slice(10))
  const [answer] = await answered
  assert.equal(answer.statusCode, 200)
  answer.resume()
  await closing
})
