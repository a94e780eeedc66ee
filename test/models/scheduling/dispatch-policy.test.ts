/** Which worker gets the next batch, and when: facts in, a decision out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { decide } from '../../../src/models/scheduling/dispatch-policy.ts'
import type {
  BatchFacts,
  ProgressFacts,
  WorkerFacts,
} from '../../../src/models/scheduling/dispatch-policy.ts'
import { Progress } from '../../../src/worker/host/progress.ts'
import type { ProgressOptions } from '../../../src/worker/host/progress.ts'

const NEVER = Number.POSITIVE_INFINITY
const IDLE: ProgressFacts = {
  inFlight: 0,
  maxInFlight: 8,
  meanRunMs: 5,
  hasBodyFile: false,
  idleWhileWaited: 0,
}
const COMPLETE: BatchFacts = {
  isComplete: true,
  waitsUntil: 0,
  waitsBesideIdleWorker: true,
  latestAt: NEVER,
}

function place(facts: Partial<ProgressFacts> = {}, isReady = true): { worker: WorkerFacts } {
  return { worker: { isReady, progress: { ...IDLE, ...facts } } }
}

/** Batches that a worker gets before the policy says that it has enough. */
function batchesAtOnce(facts: ProgressFacts, isComplete = true): number {
  const { maxInFlight, meanRunMs, hasBodyFile, idleWhileWaited } = facts
  const known = { maxInFlight, meanRunMs, hasBodyFile, idleWhileWaited }
  let inFlight = 0
  while (decide([place({ ...known, inFlight })], { ...COMPLETE, isComplete }, 0).place) inFlight++
  return inFlight
}

/** A worker's progress by a clock of the test. `run` lets it run a batch for so long. */
function progressOf(
  t: TestContext,
  options: Partial<ProgressOptions> = {},
): { progress: Progress; run: (ms: number) => void } {
  let now = 0
  t.mock.method(performance, 'now', () => now)
  const defaults = { timeoutMs: 1000, maxInFlight: 8, hasBodyFile: false, onTimeout: () => {} }
  const progress = new Progress({ ...defaults, ...options })
  t.after(() => progress.stop())
  const run = (ms: number): void => {
    progress.begin()
    now += ms
    progress.finish()
  }
  return { progress, run }
}

test('the number of batches ahead follows the measured run time', (t) => {
  const after = (runMs: number, runs = 1, options: Partial<ProgressOptions> = {}): number => {
    const { progress, run } = progressOf(t, options)
    assert.equal(batchesAtOnce(progress), 1, 'unknown as yet')
    for (let count = 0; count < runs; count += 1) run(runMs)
    return batchesAtOnce(progress)
  }
  assert.deepEqual(
    [0, 0.01, 0.13, 0.3, 0.6, 1.1, 50].map((runMs) => after(runMs)),
    [8, 8, 8, 4, 2, 1, 1],
  )
  assert.equal(after(0.1, 5, { maxInFlight: 1 }), 1, 'never more than the worker can take')
  assert.deepEqual(
    [0.3, 1.1, 24, 26].map((runMs) => after(runMs, 1, { hasBodyFile: true })),
    [4, 2, 2, 1],
    'one more where its body can be there before its turn',
  )
})

test('a batch that others could still join is not sent ahead of long runs', () => {
  const facts = { ...IDLE, hasBodyFile: true, idleWhileWaited: 3 }
  assert.deepEqual([batchesAtOnce(facts), batchesAtOnce(facts, false)], [5, 1])
  const quick = { ...facts, meanRunMs: 0.3 }
  assert.deepEqual([batchesAtOnce(quick), batchesAtOnce(quick, false)], [5, 4])
})

test('more is kept ahead of a worker that had nothing to do while work waited, until that is long ago', (t) => {
  const { progress, run } = progressOf(t, { hasBodyFile: true })
  run(5)
  assert.equal(batchesAtOnce(progress), 2)
  const ahead = Array.from({ length: 10 }, () => {
    progress.recordIdleWhileWaited()
    run(5)
    return batchesAtOnce(progress)
  })
  assert.deepEqual(ahead, [2, 3, 4, 5, 6, 7, 8, 8, 8, 8])
  const later = Array.from({ length: 500 }, () => {
    run(5)
    return batchesAtOnce(progress)
  })
  assert.equal(later.at(-1), 2)
  assert.deepEqual(
    later,
    later.toSorted((a, b) => b - a),
    'one less after the other',
  )
  for (const [runMs, options] of [
    [50, { hasBodyFile: true }],
    [5, { hasBodyFile: false }],
  ] as const) {
    const other = progressOf(t, options)
    for (let round = 0; round < 5; round += 1) {
      other.progress.recordIdleWhileWaited()
      other.run(runMs)
      assert.equal(batchesAtOnce(other.progress), 1)
    }
  }
})

test('an idle worker comes before a busy one, except where runs are too quick for that', () => {
  const chosen = (...places: { worker: WorkerFacts }[]): number =>
    places.indexOf(decide(places, COMPLETE, 0).place ?? place())
  assert.equal(chosen(place({ inFlight: 1, meanRunMs: 0.3 }), place({ meanRunMs: 0.3 })), 1)
  assert.equal(chosen(place({ inFlight: 1, meanRunMs: 0.05 }), place({ meanRunMs: 0.05 })), 0)
  assert.equal(chosen(place({ meanRunMs: 0.05 }), place({ inFlight: 1, meanRunMs: 0.05 })), 1)
  assert.equal(chosen(place({}, false), place()), 1, 'only one of them is ready')
  assert.equal(chosen(place({}, false)), -1)
  assert.equal(chosen(), -1)
})

test('a batch waits for others until its time is over, or halfway to a deadline', () => {
  const waiting = { ...COMPLETE, isComplete: false, waitsUntil: 20 }
  const places = [place()]
  assert.deepEqual(decide(places, waiting, 10), { place: undefined, decideAt: 20 })
  assert.deepEqual(decide(places, waiting, 20), { place: places[0] })
  const withDeadline = { ...waiting, latestAt: 15 }
  assert.deepEqual(decide(places, withDeadline, 10), { place: undefined, decideAt: 15 })
  assert.deepEqual(decide(places, withDeadline, 15), { place: places[0] })
  assert.deepEqual(decide(places, { ...waiting, isComplete: true }, 10), { place: places[0] })
  assert.deepEqual(decide([place({ inFlight: 1 })], waiting, 10), {
    place: undefined,
    decideAt: NEVER,
  })
})

test('a batch that may go to a second worker as well does not wait where it is told so', () => {
  const waiting = { ...COMPLETE, isComplete: false, waitsUntil: 20 }
  const places = [place(), place()]
  assert.equal(decide(places, waiting, 10).place, undefined)
  const sparse = { ...waiting, waitsBesideIdleWorker: false }
  assert.equal(decide(places, sparse, 10).place, places[0])
  assert.equal(decide([place(), place({ inFlight: 1 })], sparse, 10).place, undefined)
})
