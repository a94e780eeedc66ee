import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { EventParser } from '../../../../src/pages/console/logic/event-parser.ts'
import { LiveParts, readEvent } from '../../../../src/pages/console/logic/live.ts'
import type { LiveEvent } from '../../../../src/pages/console/logic/live.ts'

const event = (fields: Partial<LiveEvent>): LiveEvent => ({
  time: 1,
  isAll: false,
  set: {},
  gone: [],
  log: [],
  ...fields,
})
const server = { state: 'READY' }

test('events are the same wherever the stream is cut', () => {
  const text = 'data: {"a":1}\n\n: comment\n\ndata: {"b":"ä"}\n\ndata: incomplete'
  fc.assert(
    fc.property(fc.array(fc.nat(text.length)), (cuts) => {
      const places = [0, ...cuts.toSorted((one, other) => one - other), text.length]
      const parser = new EventParser()
      const found = places.flatMap((place, index) =>
        parser.push(text.slice(place, places[index + 1] ?? place)),
      )
      assert.deepEqual(found, ['{"a":1}', '{"b":"ä"}'])
    }),
  )
})

test('the state has the parts of all events, and not those that are gone', () => {
  const parts = new LiveParts()
  const iris = { name: 'iris', version: '1' }
  const digits = { name: 'digits', version: '1' }
  assert.equal(
    parts.apply(event({ set: { 'model/iris/1': iris } })),
    undefined,
    'no full event yet',
  )
  const first = parts.apply(
    event({
      isAll: true,
      set: { server, 'model/iris/1': iris, 'model/digits/1': digits },
      log: [{ msg: 'a' }],
    }),
  )
  assert.deepEqual(first?.versions, [digits, iris], 'sorted by name')
  assert.deepEqual(first?.rollouts, [])
  const second = parts.apply(
    event({
      time: 2,
      set: { 'model/iris/1': { ...iris, queued: 3 }, 'rollout/iris': { name: 'iris' } },
      gone: ['model/digits/1'],
      log: [{ msg: 'b' }],
    }),
  )
  assert.deepEqual(second?.versions, [{ ...iris, queued: 3 }])
  assert.deepEqual(second.log, [{ msg: 'a' }, { msg: 'b' }])
  assert.deepEqual(second.rollouts, [{ name: 'iris' }])
  assert.equal(second.time, 2)
  assert.deepEqual(first?.versions, [digits, iris], 'an older state stays as it was')
})

test('a full event replaces everything', () => {
  const parts = new LiveParts()
  parts.apply(
    event({ isAll: true, set: { server, 'model/a/1': { name: 'a' } }, log: [{ msg: 'old' }] }),
  )
  const now = parts.apply(event({ isAll: true, set: { server }, log: [{ msg: 'new' }] }))
  assert.deepEqual([now?.versions, now?.log], [[], [{ msg: 'new' }]])
})

test('the page keeps the newest 1000 lines', () => {
  const parts = new LiveParts()
  const lines = Array.from({ length: 700 }, (_, index) => ({ index }))
  parts.apply(event({ isAll: true, set: { server }, log: lines }))
  const now = parts.apply(event({ log: lines }))
  assert.equal(now?.log.length, 1000)
  assert.deepEqual(now.log[0], { index: 400 })
})

test('data that is no event is rejected', () => {
  assert.throws(() => readEvent('{"code":500}'), /does not know/)
  assert.throws(() => readEvent('no JSON'), SyntaxError)
})
