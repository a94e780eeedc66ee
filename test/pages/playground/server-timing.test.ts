/** The header `Server-Timing` on the page `/playground`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  parseServerTiming,
  requestTime,
} from '../../../src/pages/playground/result/server-timing.ts'

const HEADER =
  'body;dur=2.5, queue;dur=1, batch;desc="3/8", run;dur=10, decode;dur=2, infer;dur=6, encode;dur=1'

test('metrics have a name, and perhaps a duration and a description', () => {
  assert.deepEqual(parseServerTiming('a;dur=1.5;desc="x, \\"y\\"; z" , b;desc=plain,c'), [
    { name: 'a', duration: 1.5, description: 'x, "y"; z' },
    { name: 'b', duration: undefined, description: 'plain' },
    { name: 'c', duration: undefined, description: undefined },
  ])
})

test('what is not a metric is skipped, and the first of two equal parameters counts', () => {
  for (const header of ['', ',,', ';dur=1', 'a b;dur=1', '"a"', 'ä']) {
    assert.deepEqual(parseServerTiming(header), [], header)
  }
  assert.deepEqual(parseServerTiming('a;dur=1;DUR=2;dur'), [
    { name: 'a', duration: 1, description: undefined },
  ])
  assert.equal(parseServerTiming('a;dur=x')[0]?.duration, undefined)
  assert.equal(parseServerTiming('a;desc="open')[0]?.description, '')
})

test('the parts of the time add up to the total of the browser', () => {
  const { parts, batch, totalMs } = requestTime(HEADER, 20)
  assert.deepEqual(
    parts.map(({ name, ms }) => [name, ms]),
    [
      ['body', 2.5],
      ['queue', 1],
      ['decode', 2],
      ['infer', 6],
      ['encode', 1],
      ['run', 1],
      ['rest', 6.5],
    ],
  )
  assert.equal(batch, '3/8')
  assert.equal(
    parts.reduce((sum, { ms }) => sum + ms, 0),
    totalMs,
  )
})

test('without the header, the whole time is that of the network and the browser', () => {
  assert.deepEqual(
    requestTime(null, 20).parts.map(({ name, ms }) => [name, ms]),
    [['rest', 20]],
  )
})

test('no part is negative if the clocks of server and browser differ', () => {
  const { parts } = requestTime('body;dur=-1, queue;dur=30, run;dur=1, infer;dur=2', 20)
  assert.ok(parts.every(({ ms }) => ms >= 0))
})
