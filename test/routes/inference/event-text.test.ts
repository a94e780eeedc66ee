import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wantsEvents } from '../../../src/contract/event-stream.ts'
import { ServerError } from '../../../src/errors.ts'
import { EventText } from '../../../src/routes/inference/event-text.ts'

test('each chunk is an event, with a data line for each of its lines', () => {
  const events = new EventText()
  assert.equal(events.of(Buffer.from('one')), 'data: one\n\n')
  assert.equal(
    events.of(Buffer.from('a\nb\r\nc\rd\n')),
    'data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n',
  )
  assert.equal(events.of(Buffer.alloc(0)), '')
  assert.equal(events.end(undefined), 'event: end\ndata: {"events":2}\n\n')
})

test('characters that are split between chunks are put together', () => {
  const events = new EventText()
  const [first, second] = [Buffer.from('é').subarray(0, 1), Buffer.from('é').subarray(1)]
  assert.equal(events.of(first), '')
  assert.equal(events.of(second), 'data: é\n\n')
  assert.equal(events.of(Buffer.from([0xff])), 'data: \uFFFD\n\n')
  events.of(first)
  const error = new ServerError('InternalServerException', 'a\nb')
  assert.equal(
    events.end(error),
    'data: \uFFFD\n\nevent: error\ndata: {"code":500,"type":"InternalServerException","message":"a\\nb"}\n\n',
  )
})

test('events are sent if the last Accept header asks for them', () => {
  const asks = (...values: string[]) =>
    wantsEvents(values.map((value) => ['aCCept', value] as const))
  assert.ok(asks('text/event-stream'))
  assert.ok(asks('application/json, Text/Event-Stream;q=0.5'))
  assert.ok(asks('*/*', 'text/event-stream'))
  assert.ok(!asks('text/event-stream', '*/*'))
  assert.ok(!asks('text/event-stream;q=0.0'))
  assert.ok(!asks('text/event-streams'))
  assert.ok(!asks())
})
