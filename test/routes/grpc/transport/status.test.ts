import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ERROR_TYPES, ServerError } from '../../../../src/errors.ts'
import { timeoutOf } from '../../../../src/routes/grpc/transport/metadata.ts'
import {
  codeFor,
  encodeMessage,
  errorOfResponse,
  errorTrailers,
} from '../../../../src/routes/grpc/transport/status.ts'

test('every error type has a code, and only server errors are INTERNAL', () => {
  for (const [type, status] of Object.entries(ERROR_TYPES)) {
    const code = codeFor(status)
    assert.notEqual(code, 'OK', type)
    assert.equal(code === 'INTERNAL', status === 500, type)
  }
  assert.equal(codeFor(200), 'OK')
  assert.equal(codeFor(418), 'INVALID_ARGUMENT')
  assert.equal(codeFor(599), 'INTERNAL')
})

test('messages are percent-encoded UTF-8 of a limited size', () => {
  assert.equal(encodeMessage('plain "text"'), 'plain "text"')
  assert.equal(encodeMessage('100 % é\n'), '100 %25 %C3%A9%0A')
  assert.equal(encodeMessage('\ud800'), '%EF%BF%BD')
  assert.ok(encodeMessage('é'.repeat(100_000)).length < 8192)
})

test('trailers say when to try again', () => {
  const error = new ServerError('ServiceUnavailableException', 'Full.', { retryAfterSeconds: 2 })
  assert.deepEqual(errorTrailers('UNAVAILABLE', error), {
    'grpc-status': '14',
    'grpc-message': 'Full.',
    'retry-after': '2',
    'grpc-retry-pushback-ms': '2000',
  })
})

test('the text of a worker is that of its error body', () => {
  const error = errorOfResponse(507, Buffer.from('{"error":"too large"}'))
  assert.equal(error.message, 'too large')
  assert.equal(error.statusCode, 507)
  assert.match(errorOfResponse(400, Buffer.from('x')).message, /could not handle/)
})

test('deadlines are read in every unit; one beyond all timers is none', () => {
  const of = (header: string): number | undefined => timeoutOf({ 'grpc-timeout': header })
  assert.deepEqual(
    ['1H', '2M', '3S', '4m', '5000u', '6000000n'].map(of),
    [3_600_000, 120_000, 3000, 4, 5, 6],
  )
  assert.equal(timeoutOf({}), undefined)
  assert.equal(of('99999999H'), undefined)
  for (const wrong of ['', '5', 'S', '123456789S', '-1S', '1.5S', '1S ']) {
    assert.throws(() => of(wrong), /grpc-timeout/, wrong)
  }
})
