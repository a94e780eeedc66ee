import assert from 'node:assert/strict'
import test from 'node:test'
import { rewrite } from '../../../../src/command/client/recorded/rewrite.ts'
import type { Target } from '../../../../src/command/client/recorded/rewrite.ts'
import type { RecordedRequest } from '../../../../src/recording/recording.ts'

function recorded(
  route: string,
  url: string,
  more: Partial<RecordedRequest> = {},
): RecordedRequest {
  return {
    time: 0,
    id: '1',
    method: 'POST',
    url,
    route,
    headers: [],
    redacted: [],
    model: 'iris',
    version: '1',
    status: 200,
    ms: 1,
    body: Buffer.from('{}'),
    responseBody: undefined,
    ...more,
  }
}

const V1 = '/v1/models/:model(^[^:/]+)::predict'
const V2 = '/v2/models/:model/versions/:version/infer'
const PATHS: [route: string, url: string, same: string, renamed: string][] = [
  ['/predictions/:model', '/predictions/iris?a=1', '/predictions/iris?a=1', '/predictions/new?a=1'],
  ['/predictions/:model', '/predictions/iris/', '/predictions/iris/', '/predictions/new/'],
  ['/predictions/:model/:version', '/predictions/iris/1', '/predictions/iris', '/predictions/new'],
  ['/models/:model/invoke', '/models/iris/invoke', '/models/iris/invoke', '/models/new/invoke'],
  ['/:model/predict', '/iris/predict', '/iris/predict', '/new/predict'],
  [
    '/v2/models/:model/infer',
    '/v2/models/iris/infer',
    '/v2/models/iris/infer',
    '/v2/models/new/infer',
  ],
  [V2, '/v2/models/iris/versions/1/infer', '/v2/models/iris/infer', '/v2/models/new/infer'],
  [V1, '/v1/models/iris:predict', '/v1/models/iris:predict', '/v1/models/new:predict'],
  ['/models/:model/embed', '/models/iris/embed', '/models/iris/embed', '/models/new/embed'],
  ['/invocations', '/invocations', '/invocations', '/invocations?model_name=new'],
  ['/invocations', '/invocations?a=1', '/invocations?a=1', '/invocations?a=1&model_name=new'],
  [
    '/invocations',
    '/invocations?model_name=iris&a=1',
    '/invocations?model_name=iris&a=1',
    '/invocations?model_name=new&a=1',
  ],
  ['/v1/embeddings', '/v1/embeddings', '/v1/embeddings', '/v1/embeddings'],
  ['/embed', '/embed?a=1', '/models/iris/embed?a=1', '/models/new/embed?a=1'],
]

function sendable(request: RecordedRequest, target: Target) {
  const result = rewrite(request, target)
  assert.ok(typeof result !== 'string')
  return result
}

test('every path is rewritten, with the version in a header', () => {
  for (const [route, url, same, renamed] of PATHS) {
    const request = recorded(route, url)
    const one = sendable(request, { name: 'iris', version: '2' })
    assert.deepEqual(
      [one.path, one.headers],
      [same, { 'x-request-id': '1', 'onnxd-version': '2' }],
      url,
    )
    const other = sendable(request, { name: 'new', version: undefined })
    assert.deepEqual([other.path, other.headers], [renamed, { 'x-request-id': '1' }], url)
  }
})

test('headers of the connection, secrets and the old version are not sent', () => {
  const headers: [string, string][] = [
    ['Host', 'a'],
    ['Content-Length', '2'],
    ['Transfer-Encoding', 'chunked'],
    ['Expect', '100-continue'],
    ['Onnxd-Version', 'canary'],
    ['Authorization', '[redacted]'],
    ['Proxy-Connection', 'close'],
    ['Content-Type', 'application/json'],
    ['Accept', 'text/csv'],
    ['Accept', 'text/plain'],
  ]
  const request = recorded('/invocations', '/invocations', { headers, redacted: ['authorization'] })
  assert.deepEqual(sendable(request, { name: 'iris', version: undefined }).headers, {
    'x-request-id': '1',
    'Content-Type': 'application/json',
    Accept: ['text/csv', 'text/plain'],
  })
})

test('a body that names the model gets the new name', () => {
  const text = '{"model": "iris:1", "input": "é"}'
  const request = recorded('/v1/embeddings', '/v1/embeddings', { body: Buffer.from(text) })
  for (const [name, body] of [
    ['iris', '{"model":"iris","input":"é"}'],
    ['new', '{"model":"new","input":"é"}'],
  ] as const)
    assert.equal(String(sendable(request, { name, version: '2' }).body), body)
  const unnamed = recorded('/v1/rerank', '/v1/rerank', { body: Buffer.from('{"query":"a"}') })
  assert.equal(
    String(sendable(unnamed, { name: 'new', version: '2' }).body),
    '{"query":"a","model":"new"}',
  )
  const zipped = { ...request, headers: [['Content-Encoding', 'gzip']] as [string, string][] }
  assert.equal(
    rewrite(zipped, { name: 'new', version: undefined }),
    'its compressed body names the model',
  )
})
