import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Histogram, Version } from '../../../../src/pages/console/logic/live.ts'
import { addedBetween, quantileOf, sumOf } from '../../../../src/pages/console/logic/quantile.ts'
import { Track, totalOf } from '../../../../src/pages/console/logic/track.ts'
import type { Reading } from '../../../../src/pages/console/logic/track.ts'

const histogram = (...cumulative: number[]): Histogram => ({
  bounds: [0.001, 0.01, 0.1],
  cumulative,
  sum: 0,
})
const reading = (seconds: number, ok: number, failed = 0, times?: Histogram): Reading => ({
  time: seconds * 1000,
  statuses: { '2xx': ok, '5xx': failed },
  queued: 0,
  running: 0,
  queueSeconds: undefined,
  workerSeconds: times,
})

test('a quantile lies between the bounds of its bucket', () => {
  const values = histogram(10, 20, 20, 20)
  assert.equal(quantileOf(values, 0.25), 0.0005)
  assert.equal(quantileOf(values, 0.5), 0.001)
  assert.ok(Math.abs((quantileOf(values, 0.75) ?? 0) - 0.0055) < 1e-9)
  assert.equal(quantileOf(histogram(0, 0, 0, 4), 0.5), 0.1, 'above all bounds: the last one')
  assert.equal(quantileOf(histogram(0, 0, 0, 0), 0.5), undefined)
  assert.equal(quantileOf(undefined, 0.5), undefined)
})

test('histograms are added and subtracted by bucket', () => {
  assert.deepEqual(
    addedBetween(histogram(1, 2, 3, 4), histogram(2, 4, 6, 8))?.cumulative,
    [1, 2, 3, 4],
  )
  assert.deepEqual(
    addedBetween(histogram(5, 5, 5, 9), histogram(1, 1, 1, 1))?.cumulative,
    [1, 1, 1, 1],
  )
  assert.deepEqual(
    sumOf([undefined, histogram(1, 1, 1, 1), histogram(0, 2, 2, 2)])?.cumulative,
    [1, 3, 3, 3],
  )
  assert.equal(sumOf([]), undefined)
})

test('a rate is known from the second reading on, and is a mean of 5 seconds in texts', () => {
  const track = new Track()
  track.add(reading(0, 100))
  assert.equal(track.last?.succeeded, undefined)
  assert.equal(track.rates.requests, undefined)
  track.add(reading(1, 110))
  track.add(reading(2, 140, 5))
  assert.equal(track.last?.succeeded, 30)
  assert.equal(track.last.serverErrors, 5)
  assert.deepEqual([track.rates.requests, track.rates.serverErrors], [22.5, 2.5])
  for (let second = 3; second <= 10; second += 1) track.add(reading(second, 140, 5))
  assert.equal(track.rates.requests, 0)
})

test('latencies are those of the last 10 seconds', () => {
  const track = new Track()
  track.add(reading(0, 0, 0, histogram(1000, 1000, 1000, 1000)))
  track.add(reading(1, 0, 0, histogram(1000, 1000, 1010, 1010)))
  assert.ok((track.last?.p50 ?? 0) > 10, 'the older fast requests do not count')
  for (let second = 2; second <= 12; second += 1)
    track.add(reading(second, 0, 0, histogram(1000, 1000, 1010, 1010)))
  assert.equal(track.last?.p50, undefined, 'no request within the window')
})

test('after a pause, or if the counters begin again, there is no wrong rate', () => {
  const track = new Track()
  track.add(reading(0, 100))
  track.add(reading(60, 1000))
  assert.equal(track.last?.succeeded, undefined)
  track.add(reading(61, 1010))
  assert.equal(track.last?.succeeded, 10)
  track.add(reading(62, 3))
  assert.equal(track.last?.succeeded, undefined)
  track.add(reading(63, 7))
  assert.equal(track.last?.succeeded, 4)
})

test('five minutes are kept', () => {
  const track = new Track()
  for (let second = 0; second < 400; second += 1) track.add(reading(second, second))
  assert.equal(track.points.length, 300)
  assert.equal(track.points[0]?.time, 100_000)
})

test('the total is the sum over the versions', () => {
  const version = (ok: number, queued: number): Version =>
    ({ statuses: { '2xx': ok }, queued, running: 1 }) as unknown as Version
  const total = totalOf([version(3, 1), version(4, 2)], 5)
  assert.deepEqual(
    [total.statuses, total.queued, total.running, total.time],
    [{ '2xx': 7 }, 3, 2, 5],
  )
})
