import assert from 'node:assert/strict'
import test from 'node:test'
import { Redaction } from '../../../src/routes/recorded-requests/redaction.ts'

const SECRET = [
  'Authorization',
  'Proxy-Authorization',
  'cookie',
  'Set-Cookie',
  'X-API-Key',
  'x-goog-api-key',
  'X-Amz-Security-Token',
  'X-CSRF-Token',
  'X-Access-Key',
  'X-Client-Secret',
  'X-Amzn-SageMaker-Session-Id',
]
const PLAIN = [
  'Content-Type',
  'Accept',
  'Onnxd-Priority',
  'X-User',
  'Inference-Header-Content-Length',
]

test('secrets are removed from headers, in any case, and named', () => {
  const redaction = new Redaction([])
  const headers = [...SECRET, ...PLAIN].map((name): [string, string] => [name, 'hunter2'])
  const result = redaction.apply(headers, '/predictions/iris')
  assert.deepEqual(result.redacted, SECRET)
  for (const [name, value] of result.headers)
    assert.equal(value, PLAIN.includes(name) ? 'hunter2' : '[redacted]', name)
  assert.equal(result.headers.length, headers.length)
})

test('secrets are removed from the query; other parameters stay byte by byte', () => {
  const { apply } = { apply: (url: string) => new Redaction([]).apply([], url) }
  for (const [url, expected] of [
    ['/a?access_token=x%20y&size=%32+3', '/a?access_token=[redacted]&size=%32+3'],
    ['/a?api%5Fkey=x', '/a?api%5Fkey=[redacted]'],
    ['/a?Token=1&Token=2', '/a?Token=[redacted]&Token=[redacted]'],
    ['/a?X-Amz-Signature=1&q=a?b=c', '/a?X-Amz-Signature=[redacted]&q=a?b=c'],
    ['/a?', '/a?'],
    ['/a?tokens=1&token_ids=2&keyword=3', '/a?tokens=1&token_ids=2&keyword=3'],
  ] as const)
    assert.equal(apply(url).url, expected)
})

test('the operator adds names, for headers and for the query', () => {
  const { headers, url, redacted } = new Redaction(['x-user', 'Name']).apply(
    [['X-User', 'ann']],
    '/a?name=ann&size=2',
  )
  assert.deepEqual(headers, [['X-User', '[redacted]']])
  assert.equal(url, '/a?name=[redacted]&size=2')
  assert.deepEqual(redacted, ['name', 'X-User'])
})
