import assert from 'node:assert/strict'
import test from 'node:test'
import { adviceFor } from '../../../src/models/deep-check/advice.ts'
import type { GrowingReport, MeasuredSpeed } from '../../../src/models/deep-check/report.ts'

const PRESENT = { threads: 2, batchSize: 1, graphOptimization: undefined }

/** Requests per second by threads and size of the batch. */
function reportOf(speeds: Record<number, Record<number, number>>): GrowingReport {
  const list = Object.entries(speeds).flatMap(([threads, batches]) =>
    Object.entries(batches).map(([batch, requestsPerSecond]): MeasuredSpeed => ({
      threads: Number(threads),
      batch: Number(batch),
      requestsPerSecond,
      msPerBatch: (Number(batch) * 1000) / requestsPerSecond,
    })),
  )
  return { findings: [], speeds: list }
}

test('threads and batches are suggested that gain enough, with the measured gain', () => {
  const gains = reportOf({ 1: { 1: 100, 4: 110 }, 2: { 1: 190, 4: 400, 16: 420 } })
  assert.deepEqual(adviceFor(gains, { ...PRESENT, threads: 1 }), {
    settings: { threads: 2, batchSize: 4 },
    reasons: [
      'threads: 2 threads are 1.9 × as fast as 1.',
      'batchSize: batches of 4 serve 2.1 × the requests of single ones.',
    ],
  })
  const none = reportOf({ 1: { 1: 100 }, 2: { 1: 105 }, 8: { 1: 90 } })
  const advice = adviceFor(none, PRESENT)
  assert.deepEqual(advice?.settings, { threads: 1 })
  assert.match(
    advice?.reasons[0] ?? '',
    /^threads: 8 threads are only 0\.9 × as fast as 1; use more/,
  )
})

test('nothing is suggested for settings that are right, or without measurements', () => {
  const same = reportOf({ 1: { 1: 100, 4: 101 }, 2: { 1: 150, 4: 160 } })
  assert.equal(adviceFor(same, PRESENT), undefined)
  assert.equal(adviceFor(reportOf({}), PRESENT), undefined)
  assert.equal(adviceFor(reportOf({ 1: { 1: 100 } }), PRESENT), undefined)
  const batches = reportOf({ 1: { 1: 100 }, 2: { 1: 200, 4: 800, 16: 3000 } })
  assert.equal(adviceFor(batches, { ...PRESENT, batchSize: 64 }), undefined)
})

test('graph optimization is switched off if outputs differ', () => {
  const wrong = { ...reportOf({}), isOptimizationWrong: true }
  assert.deepEqual(adviceFor(wrong, PRESENT)?.settings, { graphOptimization: 'disabled' })
  assert.equal(adviceFor(wrong, { ...PRESENT, graphOptimization: 'disabled' }), undefined)
})
