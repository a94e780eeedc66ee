/**
 * Parameters of management and repository requests, as clients of MMS, TorchServe and Triton send
 * them.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import type { Settings } from '../../src/config/config.ts'
import { json } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer, unregisterAll } from '../helpers/shared-server.ts'

const network = path.resolve('examples/iris/model.onnx')
const FORM = 'application/x-www-form-urlencoded'
const JSON_TYPE = 'application/json'
const FLOWER = [5.1, 3.5, 1.4, 0.2]

const modelStore = mkdtempSync(path.join(tmpdir(), 'onnxd-test-'))
cpSync(network, path.join(modelStore, 'iris.onnx'))
after(() => rmSync(modelStore, { recursive: true }))

/** A server with `iris.onnx` in its store, not loaded. The tests without settings share it. */
async function start(t: TestContext, settings: Settings = {}): Promise<TestServer> {
  const server = await sharedServer([], { modelStore, load: 'none', ...settings })
  t.after(() => unregisterAll(server))
  return server
}

function sent(method: string, body: string | Buffer, type: string, coding?: string): RequestInit {
  const encoding = coding === undefined ? {} : { 'content-encoding': coding }
  return { method, body, headers: { 'content-type': type, ...encoding } }
}

/** Status and body. */
async function seen(answer: Response | Promise<Response>): Promise<[number, unknown]> {
  const { status } = await answer
  return [status, await json(await answer)]
}

async function workersOf(server: TestServer, name: string): Promise<number> {
  const { minWorkers } = (await json(await server.manage(`/models/${name}`))) as {
    minWorkers: number
  }
  return minWorkers
}

test('C1: null in JSON is as if absent: a worker is started, and the response waits for it', async (t) => {
  const server = await start(t)
  const body = {
    url: 'iris.onnx',
    model_name: 'n',
    initial_workers: null,
    synchronous: null,
    handler: null,
    batch_size: null,
    runtime: null,
    sha256: null,
  }
  const answer = await seen(server.manage('/models', sent('POST', JSON.stringify(body), JSON_TYPE)))
  assert.deepEqual(answer, [200, { status: 'Workers scaled' }])
  assert.equal(await workersOf(server, 'n'), 1)
  const nulls = '{"min_worker":null,"max_worker":null,"synchronous":true,"timeout":null}'
  const scaled = await seen(server.manage('/models/n', sent('PUT', nulls, JSON_TYPE)))
  assert.deepEqual(scaled, [200, { status: 'Workers scaled' }])
})

test('C1: null is as if absent on the repository routes too, at every depth', async (t) => {
  const server = await start(t)
  const post = (route: string, body: string): Promise<[number, unknown]> =>
    seen(server.manage(`/v2/repository/${route}`, sent('POST', body, JSON_TYPE)))
  for (const body of ['{"ready":null}', 'null', '{"ready":"False"}', '{"ready":0}']) {
    assert.deepEqual(await post('index', body), [200, [{ name: 'iris' }]], body)
  }
  assert.deepEqual(await post('index', '{"ready":"TRUE"}'), [200, []])
  const config = JSON.stringify({
    max_batch_size: null,
    instance_group: null,
    dynamicBatching: { maxQueueDelayMicroseconds: '250', priority_levels: null },
  })
  for (const parameters of [null, {}, { config: null }, { config }]) {
    const body = JSON.stringify({ parameters })
    assert.deepEqual(await post('models/iris/load', body), [200, {}], body)
  }
  const { maxBatchDelay } = (await json(await server.manage('/models/iris'))) as {
    maxBatchDelay: number
  }
  assert.equal(maxBatchDelay, 0.25)
  for (const parameters of [null, { unload_dependents: null }, { unload_dependents: 'True' }]) {
    assert.deepEqual(await post('models/iris/unload', JSON.stringify({ parameters })), [200, {}])
  }
})

test('C2: flags in any spelling, in the query, a form and JSON alike', async (t) => {
  const server = await start(t)
  const names: string[] = []
  for (const spelling of ['True', 'TRUE', 'true', '1']) {
    for (const place of ['query', 'form', 'file', 'json']) {
      const name = `${place}-${spelling}`
      names.push(name)
      const fields = { model_name: name, synchronous: spelling, initial_workers: '0' }
      const located = new URLSearchParams({ ...fields, url: 'iris.onnx' }).toString()
      const form = new FormData()
      for (const [key, value] of Object.entries(fields)) form.set(key, value)
      form.set('model', new Blob([readFileSync(network)]), 'x.onnx')
      const text = JSON.stringify({ ...fields, url: 'iris.onnx' })
      const init: Record<string, [string, RequestInit]> = {
        query: [`/models?${located}`, { method: 'POST' }],
        form: ['/models', sent('POST', located, FORM)],
        file: ['/models', { method: 'POST', body: form }],
        json: ['/models', sent('POST', text, JSON_TYPE)],
      }
      const [route, request] = init[place] ?? assert.fail()
      const [status, answer] = await seen(server.manage(route, request))
      assert.equal(status, 200, `${name}: ${JSON.stringify(answer)}`)
    }
  }
  const { models } = (await json(await server.manage('/models'))) as {
    models: { modelName: string }[]
  }
  assert.deepEqual(models.map(({ modelName }) => modelName).toSorted(), names.toSorted())
})

test('C3: empty parameters are the default on every route', async (t) => {
  const server = await start(t)
  const empty = 'model_name=&model_version=&handler=&batch_size=&synchronous=&sha256=&runtime='
  const registered = await seen(server.manage(`/models?url=iris.onnx&${empty}`, { method: 'POST' }))
  assert.deepEqual(registered, [200, { status: 'Workers scaled' }])
  const routes: [method: string, route: string][] = [
    ['GET', '/models?limit=&next_page_token='],
    ['GET', '/models/iris?customized='],
    ['GET', '/models/iris/all?customized=true'],
    ['PUT', '/models/iris?min_worker=&max_worker=&synchronous=&timeout=&number_gpu='],
    ['PUT', '/models/iris?model_version=1.0'],
    ['DELETE', '/models/iris?synchronous=&timeout='],
  ]
  for (const [method, route] of routes) {
    const [status, body] = await seen(server.manage(route, { method }))
    assert.ok(status === 200 || status === 202, `${method} ${route}: ${JSON.stringify(body)}`)
  }
})

test('C3: a misspelt parameter is 400 with the right one on every management route', async (t) => {
  const server = await start(t)
  assert.equal((await server.manage('/models?url=iris.onnx', { method: 'POST' })).status, 200)
  const cases: [method: string, route: string, message: RegExp][] = [
    [
      'POST',
      '/models?url=iris.onnx&inital_workers=3',
      /"inital_workers"\. Did you mean initial_workers\?/,
    ],
    ['PUT', '/models/iris?min_workers=2', /"min_workers"\. Did you mean min_worker\?/],
    ['PUT', '/models/iris/1.0?min_workers=2', /Did you mean min_worker\?/],
    ['PUT', '/models/iris/1.0/set-default?a=1', /Unknown parameter "a"/],
    ['GET', '/models?limt=1', /Did you mean limit\?/],
    ['GET', '/models/iris?customised=true', /Did you mean customized\?/],
    ['GET', '/models/iris/all?x=1', /Unknown parameter "x"/],
    ['GET', '/models/iris/1.0?x=1', /Unknown parameter "x"/],
    ['DELETE', '/models/iris?timout=1', /Did you mean timeout\?/],
    ['DELETE', '/models/iris/1.0?timout=1', /Did you mean timeout\?/],
  ]
  for (const [method, route, message] of cases) {
    const [status, body] = await seen(server.manage(route, { method }))
    const refusal = body as { type: string; message: string }
    assert.deepEqual([status, refusal.type], [400, 'BadRequestException'], route)
    assert.match(refusal.message, message)
  }
  const repository: [route: string, body: string, message: RegExp][] = [
    ['index', '{"redy":true}', /"redy"\. Did you mean ready\?/],
    [
      'models/iris/load',
      '{"parameters":{"confg":"{}"}}',
      /^failed to load 'iris': .*mean config\?/,
    ],
    ['models/iris/load', '{"parameter":{}}', /Did you mean parameters\?/],
    [
      'models/iris/load',
      '{"parameters":{"file:1/model.onnx":"AAAA"}}',
      /a load request cannot contain model files/,
    ],
    ['models/iris/unload', '{"parameters":{"unload_dependent":true}}', /mean unload_dependents\?/],
  ]
  for (const [route, text, message] of repository) {
    const answer = await seen(
      server.manage(`/v2/repository/${route}`, sent('POST', text, JSON_TYPE)),
    )
    assert.equal(answer[0], 400, text)
    assert.match((answer[1] as { error: string }).error, message)
  }
  // Everything is as it was; and predictions hand unknown parameters on to the model.
  assert.equal(await workersOf(server, 'iris'), 1)
  const body = JSON.stringify({ features: [FLOWER] })
  for (const route of ['/predictions/iris?inital_workers=3', '/invocations?model_name=iris&x=1']) {
    assert.equal((await server.fetch(route, sent('POST', body, JSON_TYPE))).status, 200, route)
  }
})

test('C3: with lenientParameters a misspelt one is ignored, and named in the response and in the log', async (t) => {
  const server = await start(t, { lenientParameters: true })
  const answer = await seen(
    server.manage('/models?url=iris.onnx&inital_workers=3', { method: 'POST' }),
  )
  const note = 'Unknown parameter "inital_workers". Did you mean initial_workers?'
  assert.deepEqual(answer, [200, { status: 'Workers scaled', notes: [note] }])
  await server.logged(({ msg }) => msg === 'unknown parameters are ignored')
  const lines = server.logLines.filter(({ msg }) => msg === 'unknown parameters are ignored')
  assert.deepEqual(
    lines.map(({ problems }) => problems),
    [[note]],
  )
})

test('C3: parameters of MMS and TorchServe without effect are accepted, and the response says so', async (t) => {
  const server = await start(t)
  const registered = await seen(
    server.manage('/models?url=iris.onnx&preload_model=True&s3_sse_kms=1&runtime=node', {
      method: 'POST',
    }),
  )
  assert.deepEqual(registered, [
    200,
    {
      status: 'Workers scaled',
      notes: [
        'Parameter preload_model has no effect: each worker loads the model itself.',
        'Parameter s3_sse_kms has no effect: onnxd does not sign downloads; register a pre-signed URL.',
      ],
    },
  ])
  const scaled = await seen(
    server.manage('/models/iris?number_gpu=1&min_worker=1&synchronous=true', { method: 'PUT' }),
  )
  assert.deepEqual(scaled, [
    200,
    {
      status: 'Workers scaled',
      notes: ['Parameter number_gpu has no effect: use the setting `gpus`.'],
    },
  ])
  // Who asks for what happens anyway is not told.
  const usual = await seen(
    server.manage('/models?url=iris.onnx&model_name=usual&preload_model=false&s3_sse_kms=0', {
      method: 'POST',
    }),
  )
  assert.deepEqual(usual, [200, { status: 'Workers scaled' }])
  const wrong = await seen(server.manage('/models/iris?model_version=7', { method: 'PUT' }))
  assert.equal(wrong[0], 404)
  const two = await seen(server.manage('/models/iris/1.0?model_version=7', { method: 'PUT' }))
  assert.equal(two[0], 400)
  const removed = await seen(
    server.manage('/models/iris?synchronous=false&timeout=0', { method: 'DELETE' }),
  )
  assert.equal(removed[0], 200)
})

test('C4: a form to POST and PUT is read, compressed or not, and the body wins over the query', async (t) => {
  const server = await start(t)
  const text = 'url=iris.onnx&model_name=form&initial_workers=0'
  const bodies: [name: string, init: RequestInit][] = [
    ['form', sent('POST', text, FORM)],
    ['gzip', sent('POST', gzipSync(text.replace('=form', '=gzip')), FORM, 'gzip')],
    ['deflate', sent('POST', deflateSync(text.replace('=form', '=deflate')), FORM, 'deflate')],
    ['json', sent('POST', gzipSync('{"url":"iris.onnx","model_name":"json"}'), JSON_TYPE, 'gzip')],
  ]
  for (const [name, init] of bodies) {
    const [status, body] = await seen(server.manage('/models?url=nothing.onnx', init))
    assert.equal(status, 200, `${name}: ${JSON.stringify(body)}`)
    assert.equal((await server.manage(`/models/${name}`)).status, 200, name)
  }
  const form = new FormData()
  form.set('url', 'iris.onnx')
  form.set('model_name', 'located')
  assert.equal((await server.manage('/models', { method: 'POST', body: form })).status, 200)
  form.set('model', new Blob([Buffer.alloc(1)]), 'x.onnx')
  const [both, problem] = await seen(server.manage('/models', { method: 'POST', body: form }))
  assert.equal(both, 400)
  assert.match((problem as { message: string }).message, /either the parameter url or a model file/)
  for (const [type, body] of [
    [FORM, 'min_worker=2&synchronous=True'],
    [JSON_TYPE, '{"min_worker":2,"synchronous":1}'],
  ] as const) {
    assert.equal((await server.manage('/models/json', sent('PUT', body, type))).status, 200)
    assert.equal(await workersOf(server, 'json'), 2)
    assert.equal(
      (await server.manage('/models/json?synchronous=true', { method: 'PUT' })).status,
      200,
    )
    assert.equal(await workersOf(server, 'json'), 1)
  }
})

test('C4: another coding is 415 and the response names the supported ones', async (t) => {
  const server = await start(t)
  const cases: [route: string, type: string, readable: string][] = [
    ['/models', FORM, 'gzip, deflate'],
    ['/models', JSON_TYPE, 'gzip, deflate'],
    ['/v2/repository/index', JSON_TYPE, 'gzip, deflate'],
    ['/models', 'multipart/form-data; boundary=edge', 'identity'],
  ]
  for (const [route, type, readable] of cases) {
    const answer = await server.manage(route, sent('POST', 'url=x', type, 'br'))
    assert.deepEqual([answer.status, answer.headers.get('accept-encoding')], [415, readable], type)
    await answer.arrayBuffer()
  }
})

test('C4: a compressed form to a model is read, within the limit of bodies', async (t) => {
  const server = await start(t, { maxBodyBytes: 100_000 })
  assert.equal((await server.manage('/models?url=iris.onnx', { method: 'POST' })).status, 200)
  const fields = `features=${encodeURIComponent(JSON.stringify([FLOWER]))}`
  const plain = await seen(server.fetch('/predictions/iris', sent('POST', fields, FORM)))
  assert.equal(plain[0], 200, JSON.stringify(plain))
  for (const [coding, compress] of [
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ] as const) {
    const init = sent('POST', compress(fields), FORM, coding)
    assert.deepEqual(await seen(server.fetch('/predictions/iris', init)), plain, coding)
    // As the one field that is the whole request, too.
    const whole = `body=${encodeURIComponent(JSON.stringify({ features: [FLOWER] }))}`
    const [status] = await seen(
      server.fetch('/predictions/iris', sent('POST', compress(whole), FORM, coding)),
    )
    const [expected] = await seen(server.fetch('/predictions/iris', sent('POST', whole, FORM)))
    assert.equal(status, expected, coding)
    const bomb = sent('POST', compress(Buffer.alloc(1_000_000, 'a')), FORM, coding)
    assert.equal((await server.fetch('/predictions/iris', bomb)).status, 413, coding)
  }
  const unknown = await server.fetch('/predictions/iris', sent('POST', fields, FORM, 'br'))
  assert.deepEqual([unknown.status, unknown.headers.get('accept-encoding')], [415, 'gzip, deflate'])
})
