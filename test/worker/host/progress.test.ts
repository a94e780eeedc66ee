/** How much work is kept ahead of a worker, by a clock of the test. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Progress } from '../../../src/worker/host/progress.ts'
import type { ProgressOptions } from '../../../src/worker/host/progress.ts'

test('the number of batches ahead follows the measured run time', (t) => {
  let now = 0
  t.mock.method(performance, 'now', () => now)
  const options = { timeoutMs: 1000, maxDepth: 8, hasBodyFile: false, onTimeout: () => {} }
  const depthAfter = (runMs: number, runs = 1, other: Partial<ProgressOptions> = {}): number => {
    const progress = new Progress({ ...options, ...other })
    assert.equal(progress.depth, 1, 'unknown as yet')
    for (let run = 0; run < runs; run += 1) {
      progress.begin()
      now += runMs
      progress.finish()
    }
    progress.stop()
    return progress.depth
  }
  assert.deepEqual(
    [0, 0.01, 0.13, 0.3, 0.6, 1.1, 50].map((runMs) => depthAfter(runMs)),
    [8, 8, 8, 4, 2, 1, 1],
  )
  assert.equal(depthAfter(0.1, 5, { maxDepth: 1 }), 1, 'never more than the worker can take')
  assert.deepEqual(
    [0.3, 1.1, 24, 26].map((runMs) => depthAfter(runMs, 1, { hasBodyFile: true })),
    [4, 2, 2, 1],
    'one more where its body can be there before its turn',
  )
  assert.deepEqual(
    [0.05, 0.3].map((runMs) => {
      const progress = new Progress(options)
      assert.equal(progress.isQuick, false, 'unknown as yet')
      progress.begin()
      now += runMs
      progress.finish()
      progress.stop()
      return progress.isQuick
    }),
    [true, false],
  )
})

test('more is kept ahead of a worker that had nothing to do while work waited, until that is long ago', (t) => {
  let now = 0
  t.mock.method(performance, 'now', () => now)
  const options = { timeoutMs: 1000, maxDepth: 8, hasBodyFile: true, onTimeout: () => {} }
  const run = (progress: Progress, runMs: number): number => {
    progress.begin()
    now += runMs
    progress.finish()
    return progress.depth
  }
  const progress = new Progress(options)
  assert.equal(run(progress, 5), 2)
  const depths = Array.from({ length: 10 }, () => {
    progress.recordStarved()
    return run(progress, 5)
  })
  assert.deepEqual(depths, [2, 3, 4, 5, 6, 7, 8, 8, 8, 8])
  const later = Array.from({ length: 500 }, () => run(progress, 5))
  assert.equal(later.at(-1), 2)
  assert.deepEqual(
    later,
    later.toSorted((a, b) => b - a),
    'one less after the other',
  )
  progress.stop()
  for (const [runMs, other] of [
    [50, {}],
    [5, { hasBodyFile: false }],
  ] as const) {
    const patient = new Progress({ ...options, ...other })
    for (let round = 0; round < 5; round += 1) {
      patient.recordStarved()
      assert.equal(run(patient, runMs), 1)
    }
    patient.stop()
  }
})
