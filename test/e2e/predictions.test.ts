/** The prediction routes over real HTTP: paths, methods, bodies, headers and errors. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { request } from 'node:http'
import path from 'node:path'
import { test } from 'node:test'
import { handlerModel } from '../helpers/handler-model.ts'
import { workerPids } from '../helpers/observe.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { json, serve } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const digits = path.resolve('examples/digits')
const iris = path.resolve('examples/iris')
const flower = JSON.stringify({ features: [[5.1, 3.5, 1.4, 0.2]] })
const JSON_BODY = { method: 'POST', body: flower, headers: { 'content-type': 'application/json' } }

interface Ranked {
  readonly class: string
  readonly probability: number
}

test('each sample image of the digits is recognised, sent as a form, as a body with and without a type', async () => {
  const server = await sharedServer([iris, digits])
  const samples = readdirSync(path.join(digits, 'samples')).filter((name) => name.endsWith('.png'))
  assert.ok(samples.length >= 10)
  for (const name of samples) {
    const bytes = readFileSync(path.join(digits, 'samples', name))
    const form = new FormData()
    form.set('image', new Blob([bytes], { type: 'image/png' }), name)
    const bodies: RequestInit[] = [
      { method: 'POST', body: form },
      { method: 'PUT', body: bytes },
      { method: 'POST', body: bytes, headers: { 'content-type': 'image/png' } },
    ]
    for (const body of bodies) {
      const answer = await server.fetch('/predictions/digits', body)
      assert.equal(answer.status, 200)
      const [top] = (await json(answer)) as Ranked[]
      assert.equal(top?.class, name[0], name)
    }
  }
})

test('every path of MMS predicts, and the query names the model for invocations', async () => {
  const server = await sharedServer([iris])
  const expected = await (await server.fetch('/predictions/iris', JSON_BODY)).text()
  for (const route of [
    '/predictions/iris/',
    '/predictions/iris/1.0',
    '/invocations',
    '/invocations?model_name=iris',
    '/models/iris/invoke',
    '/iris/predict',
    '/predictions/iris?ignored=1',
  ]) {
    const answer = await server.fetch(route, JSON_BODY)
    assert.equal(answer.status, 200, route)
    assert.equal(await answer.text(), expected, route)
  }
})

test('unknown models, versions, paths and methods get the errors of MMS', async () => {
  const server = await sharedServer([iris, digits])
  const failures: [route: string, method: string, status: number, type: string, message: string][] =
    [
      ['/predictions/nobody', 'POST', 404, 'ModelNotFoundException', 'Model not found: nobody'],
      [
        '/predictions/__proto__',
        'POST',
        404,
        'ModelNotFoundException',
        'Model not found: __proto__',
      ],
      [
        '/predictions/iris/9',
        'POST',
        404,
        'ModelVersionNotFoundException',
        'Model version: 9 does not exist for model: iris',
      ],
      ['/invocations', 'POST', 400, 'BadRequestException', 'Parameter model_name is required.'],
      [
        '/nowhere/at/all',
        'GET',
        404,
        'ResourceNotFoundException',
        'Requested resource is not found, please refer to API document. GET /openapi.json lists all paths and methods.',
      ],
      [
        '/predictions/iris',
        'DELETE',
        405,
        'MethodNotAllowedException',
        'Requested method is not allowed, please refer to API document. GET /openapi.json lists all paths and methods.',
      ],
    ]
  for (const [route, method, status, type, message] of failures) {
    const answer = await server.fetch(route, { method })
    assert.equal(answer.status, status, route)
    assert.equal(answer.headers.get('content-type'), 'application/json')
    assert.deepEqual(await json(answer), { code: status, type, message })
    assert.notEqual(answer.headers.get('connection'), 'close', 'errors keep the connection')
  }
})

test('bad input gets a 4xx that says what is wrong, and costs no worker', async () => {
  const server = await sharedServer([iris])
  const pids = await workerPids(server, 'iris')
  const bodies: [body: NonNullable<RequestInit['body']>, contentType: string, pattern: RegExp][] = [
    ['', 'application/json', /./],
    ['{', 'application/json', /./],
    ['{"features": [[1,2,3]]}', 'application/json', /features.*\[/],
    ['{"features": [[1,2,3,"x"]]}', 'application/json', /features/],
    ['{"features": [[1,2],[3]]}', 'application/json', /./],
    ['{"other": [[1,2,3,4]]}', 'application/json', /other|features/],
    ['[1,2,3,4,5]', 'application/json', /./],
    ['['.repeat(250_000), 'application/json', /./],
    [new Uint8Array(7), 'application/octet-stream', /./],
    ['[[5.1,3.5,1.4,0.2]]', 'application/x-www-form-urlencoded', /application\/json/],
  ]
  for (const [body, contentType, pattern] of bodies) {
    const answer = await server.fetch('/predictions/iris', {
      method: 'POST',
      body,
      headers: { 'content-type': contentType },
    })
    const text = await answer.text()
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${text}`)
    assert.match(text, pattern)
    assert.deepEqual(Object.keys(JSON.parse(text)), ['code', 'type', 'message'])
  }
  assert.equal((await server.fetch('/predictions/iris', JSON_BODY)).status, 200)
  assert.deepEqual(await workerPids(server, 'iris'), pids)
})

test('a body over its limit is 413, JSON earlier than binary', async (t) => {
  const server = await serve(t, [iris], { maxBodyBytes: 2000, maxJsonBytes: 1000 })
  const post = async (size: number, type: string): Promise<number> =>
    (
      await server.fetch('/predictions/iris', {
        method: 'POST',
        body: Buffer.alloc(size, 0x20),
        headers: { 'content-type': type },
      })
    ).status
  assert.equal(await post(1001, 'application/json'), 413)
  assert.equal(await post(1600, 'application/octet-stream'), 200)
  assert.equal(await post(2001, 'application/octet-stream'), 413)
})

test('a response has a request id: that of the client if it is valid, else a new one', async () => {
  const server = await sharedServer([iris])
  const given = await server.fetch('/predictions/iris', {
    ...JSON_BODY,
    headers: { ...JSON_BODY.headers, 'x-request-id': 'abc-1' },
  })
  assert.equal(given.headers.get('x-request-id'), 'abc-1')
  const made = await server.fetch('/predictions/iris', {
    ...JSON_BODY,
    headers: { ...JSON_BODY.headers, 'x-request-id': 'has spaces in it' },
  })
  assert.match(made.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/)
  const record = await server.logged((line) => line.requestId === 'abc-1' && line.msg === 'request')
  assert.deepEqual(
    [record.method, record.route, record.status],
    ['POST', '/predictions/:model', 200],
  )
})

test('handlers see the request as in MMS', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool')], { allowHandlers: true })
  const headers = (await json(
    await rawPost(server, '/predictions/tool', 'headers:', {
      'X-Mixed-Case': 'kept',
      'Content-Type': 'text/plain',
    }),
  )) as Record<string, string>
  assert.equal(headers['X-Mixed-Case'], 'kept')
  const query = await server.fetch('/invocations?body=data:', { method: 'GET' })
  assert.equal(query.status, 200)
})

/** `fetch` lowers header names; this does not. */
function rawPost(
  server: TestServer,
  route: string,
  body: string,
  headers: Record<string, string>,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      server.inferenceUrl + route,
      { method: 'POST', headers },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('end', () =>
          resolve(new Response(Buffer.concat(chunks), { status: incoming.statusCode ?? 0 })),
        )
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

test('ping shows the health of all models', async () => {
  const server = await sharedServer([iris])
  const healthy = await server.fetch('/ping')
  assert.deepEqual([healthy.status, await json(healthy)], [200, { status: 'Healthy' }])
})

test('requests that arrive together share batches and each gets its own response', async (t) => {
  const server = await serve(t, [handlerModel(t, 'tool', { batchSize: 8, maxBatchDelay: 50 })], {
    allowHandlers: true,
  })
  const answers = await Promise.all(
    Array.from({ length: 16 }, async (_, index) => {
      const body = index === 5 ? 'status:418,teapot' : `echo:${index}`
      const answer = await server.fetch('/predictions/tool', {
        method: 'POST',
        body,
        headers: { 'content-type': 'text/plain' },
      })
      return [answer.status, await answer.text()]
    }),
  )
  assert.deepEqual(
    answers,
    Array.from({ length: 16 }, (_, index) =>
      index === 5 ? [418, 'as told'] : [200, String(index)],
    ),
  )
  const metrics = parseMetrics(await (await server.manage('/metrics')).text())
  const batches = metrics.get('onnxd_batch_size_count{model="tool",version="1.0"}') ?? 0
  assert.ok(batches > 0 && batches < 16, `${batches} batches`)
})
