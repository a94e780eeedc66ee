import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VersionMetrics } from '../../../src/models/metrics/version-metrics.ts'
import { checkPlan } from '../../../src/models/rollout/plan.ts'
import { beginRollout } from '../../../src/models/rollout/rollout.ts'
import { RunningStep } from '../../../src/models/rollout/running-step.ts'
import type { Agreement } from '../../../src/models/rollout/running-step.ts'
import { StepWatch } from '../../../src/models/rollout/step-watch.ts'

const PLAN = checkPlan({ to: '2', steps: [50, 100], max_p99_ratio: 2, min_agreement: 0.9 })
const NOTHING = { count: 0, hits: 0 }
/** Not counted at the start of a step, and needed to learn the percentile. */
const WARM_UP = 20
const LEARNED = 200

function repeat(count: number, run: (index: number) => void): void {
  for (let index = 0; index < count; index += 1) run(index)
}

test('times are compared with the percentile of the present version, also those before it is known', () => {
  const watch = new StepWatch(PLAN, 0)
  repeat(WARM_UP, () => watch.time('next', 1e6))
  repeat(10, () => watch.time('next', 250))
  repeat(10, () => watch.time('next', 150))
  assert.deepEqual(watch.observed(NOTHING).slow.next, NOTHING)
  repeat(WARM_UP, () => watch.time('present', 1e6))
  // 0.5, 1, … 100: the percentile is the 198th.
  repeat(LEARNED, (index) => watch.time('present', (index + 1) / 2))
  assert.equal(watch.p99, 99)
  watch.time('present', 100)
  watch.time('present', 99)
  watch.time('next', 199)
  watch.time('next', 198)
  const { slow } = watch.observed(NOTHING)
  assert.deepEqual(slow, { next: { count: 22, hits: 11 }, present: { count: 2, hits: 1 } })
})

test('where the present version gets no request, its counts of the step before are used', () => {
  const first = new StepWatch(PLAN, 0)
  repeat(WARM_UP + LEARNED + 5, () => first.time('present', 10))
  first.time('present', 11)
  first.count('present', { requests: 1000, errors: 3 })
  const baseline = first.baseline()
  assert.deepEqual(baseline, { requests: 1000, errors: 3, timed: 6, slow: 1, p99_ms: 10 })
  const last = new StepWatch(PLAN, 1, baseline)
  assert.equal(last.p99, 10)
  const { errors, slow } = last.observed(NOTHING)
  assert.deepEqual(errors.present, { count: 1000, hits: 3 })
  assert.deepEqual(slow.present, { count: 6, hits: 1 })
  assert.deepEqual(new StepWatch(PLAN, 0, baseline).observed(NOTHING).errors.present, NOTHING)
})

test('counts of versions are read from where the step began, without clients that left', () => {
  const [next, present] = ['2', '1'].map((version) => ({
    version,
    statistics: new VersionMetrics(),
  }))
  assert.ok(next !== undefined && present !== undefined)
  next.statistics.statuses.count(500)
  let agreement: Agreement | undefined = { compared: 10, agreed: 5 }
  const record = beginRollout(PLAN, ['1'], undefined, 't0')
  const options = { record, next, present: [present], agreement: () => agreement }
  const step = new RunningStep(options)
  for (const status of [200, 200, 404, 503, 499]) next.statistics.statuses.count(status)
  next.statistics.rejections.cancelled += 1
  present.statistics.statuses.count(200)
  step.look()
  assert.deepEqual(step.counts, {
    next: { requests: 4, errors: 2 },
    present: { requests: 1, errors: 0 },
  })
  next.statistics.statuses.count(200)
  agreement = { compared: 14, agreed: 8 }
  const [, , disagreed] = step.look()
  assert.deepEqual([disagreed?.requests, disagreed?.value], [4, 0.25])
  assert.equal(step.counts.next.requests, 5)

  // The next step counts from its own start, but comparisons from that of the rollout.
  const following = new RunningStep({ ...options, compared: step.comparedBefore })
  assert.equal(following.look()[2]?.requests, 4)
  assert.equal(following.counts.next.requests, 0)
  // Shadow traffic began again.
  agreement = { compared: 3, agreed: 3 }
  assert.deepEqual([following.look()[2]?.requests, following.look()[2]?.value], [3, 0])
  agreement = undefined
  assert.equal(following.look()[2]?.verdict, 'open')

  assert.ok(following.observes(0, next, [present]))
  assert.ok(!following.observes(1, next, [present]))
  assert.ok(!following.observes(0, next, [{ ...present }]))
  following.close()
  assert.equal(next.statistics.onResponse, undefined)
})

test('only requests that succeed and did not wait for a load have a time', () => {
  const statistics = new VersionMetrics()
  const seen: number[] = []
  const timing = { queueMs: 2, workerMs: 3 }
  statistics.recordResponse(200, { isCold: false, timing })
  statistics.onResponse = (ms) => seen.push(ms)
  statistics.recordResponse(200, { isCold: false, timing })
  statistics.recordResponse(200, { isCold: true, timing })
  statistics.recordResponse(500, { isCold: false, timing })
  assert.deepEqual(seen, [5])
})
