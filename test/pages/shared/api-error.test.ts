import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorOf } from '../../../src/pages/shared/api-error.ts'

test('an error is read from a body of MMS, with its type and log lines', () => {
  const body = '{"code":404,"type":"ModelNotFoundException","message":"no model","log":["a","b"]}'
  const { status, message, type, log } = errorOf(404, body)
  assert.deepEqual(
    [status, message, type, log],
    [404, 'no model', 'ModelNotFoundException', ['a', 'b']],
  )
})

test('an error is read from a body of the Open Inference Protocol, a text and nothing', () => {
  assert.equal(errorOf(400, '{"error":"wrong shape"}').message, 'wrong shape')
  assert.equal(errorOf(502, 'Bad Gateway').message, 'Bad Gateway')
  assert.equal(errorOf(503, '').message, 'The server responded with status 503.')
  assert.equal(errorOf(500, '[1]').message, '[1]')
})
