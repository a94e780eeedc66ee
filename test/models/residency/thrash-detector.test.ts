import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ThrashDetector } from '../../../src/models/residency/thrash-detector.ts'

/** Records loads of `ms` each, one every `everyMs`, of models evicted `agoMs` before. */
function record(
  detector: ThrashDetector,
  {
    from = 0,
    count,
    ms,
    everyMs,
    agoMs,
  }: Readonly<Record<'count' | 'ms' | 'everyMs', number>> & {
    readonly from?: number
    readonly agoMs: number | undefined
  },
): number {
  let now = from
  for (let load = 0; load < count; load += 1) {
    now += everyMs
    detector.recordLoad(now, ms, agoMs === undefined ? undefined : now - ms - agoMs)
  }
  return now
}

test('first loads are no thrashing, however many', () => {
  const detector = new ThrashDetector(1)
  const now = record(detector, { count: 1000, ms: 100, everyMs: 100, agoMs: undefined })
  assert.deepEqual([detector.isThrashing(now), detector.pauseMs(now)], [false, 0])
})

test('loads of models that were evicted long ago are no thrashing', () => {
  const detector = new ThrashDetector(1)
  const now = record(detector, { count: 1000, ms: 100, everyMs: 100, agoMs: 61_000 })
  assert.equal(detector.isThrashing(now), false)
})

test('more than half of the time for loading the same models again is thrashing', () => {
  const busy = new ThrashDetector(1)
  const now = record(busy, { count: 20, ms: 60, everyMs: 100, agoMs: 500 })
  assert.equal(busy.isThrashing(now), true)
  const calm = new ThrashDetector(1)
  assert.equal(
    calm.isThrashing(record(calm, { count: 20, ms: 40, everyMs: 100, agoMs: 500 })),
    false,
  )
  const two = new ThrashDetector(2)
  assert.equal(
    two.isThrashing(record(two, { count: 20, ms: 60, everyMs: 100, agoMs: 500 })),
    false,
    'two loads at the same time may take twice as much',
  )
})

test('while it thrashes, a load waits as long as the one before took', () => {
  const detector = new ThrashDetector(1)
  const now = record(detector, { count: 20, ms: 100, everyMs: 100, agoMs: 500 })
  assert.deepEqual(
    [detector.pauseMs(now), detector.pauseMs(now + 60), detector.pauseMs(now + 100)],
    [100, 40, 0],
  )
})

test('it is over a minute later', () => {
  const detector = new ThrashDetector(1)
  const now = record(detector, { count: 100, ms: 100, everyMs: 100, agoMs: 500 })
  assert.equal(detector.isThrashing(now), true)
  assert.equal(detector.isThrashing(now + 60_001), false)
})
