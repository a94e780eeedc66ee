import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ServerError } from '../../../src/errors.ts'
import type { Evidence } from '../../../src/models/rollout/evidence.ts'
import { checkPlan, withEvent } from '../../../src/models/rollout/plan.ts'
import type { RolloutRecord } from '../../../src/models/rollout/plan.ts'
import {
  advance,
  beginRollout,
  decide,
  end,
  pause,
  presentWeights,
  refuseDuring,
  routingOf,
  shareOfStep,
} from '../../../src/models/rollout/rollout.ts'
import { VersionChooser } from '../../../src/models/routing/choose-version.ts'
import { checkRouting, versionOfLabel } from '../../../src/models/routing/routing.ts'
import type { Routing } from '../../../src/models/routing/routing.ts'
import { testSeed } from '../../helpers/random.ts'

const PLAN = checkPlan({ to: '2', steps: [5, 50, 100], hold: 10 })
const BASELINE = { requests: 0, errors: 0, timed: 0, slow: 0 }
const begin = (before?: Routing): RolloutRecord =>
  beginRollout(PLAN, Object.keys(presentWeights(before, '2', '1')), before, 't0')

const evidence = (verdict: Evidence['verdict'], criterion: Evidence['criterion']): Evidence => ({
  criterion,
  value: 0,
  lower: 0.02,
  upper: 0.03,
  limit: 0.01,
  passing: 0.02,
  requests: 500,
  verdict,
})

test('a plan gets the defaults, and mistakes are named', () => {
  assert.deepEqual(checkPlan({ to: '2' }), {
    to: '2',
    steps: [1, 5, 25, 100],
    hold: 60,
    max_error_rate: 0.01,
    max_p99_ratio: 2,
  })
  for (const [value, message] of [
    [{}, /to/],
    [{ to: 'a b' }, /to/],
    [{ to: '2', steps: [] }, /steps/],
    [{ to: '2', steps: [5, 5] }, /Each step must be larger.*5, 5/],
    [{ to: '2', steps: [50, 5] }, /Each step must be larger/],
    [{ to: '2', steps: [100] }, /first step must be below 100/],
    [{ to: '2', steps: [0.5] }, /steps/],
    [{ to: '2', steps: [101] }, /steps/],
    [{ to: '2', hold: -1 }, /hold/],
    [{ to: '2', max_error_rate: 0 }, /max_error_rate/],
    [{ to: '2', max_p99_ratio: 0.5 }, /max_p99_ratio must be 0, or 1 or more, not 0\.5/],
    [{ to: '2', max_p99_ratio: -1 }, /max_p99_ratio/],
    [{ to: '2', min_agreement: 1 }, /min_agreement/],
    [{ to: '2', max_p99: 1 }, /max_p99: unknown key/],
    [[], /object/],
    [null, /object/],
  ] as const) {
    assert.throws(
      () => checkPlan(value),
      (error) =>
        error instanceof ServerError && error.statusCode === 400 && message.test(error.message),
      JSON.stringify(value),
    )
  }
})

test('the steps follow one another, and the last one promotes', () => {
  let record = begin()
  assert.deepEqual(routingOf(record), { weights: { 1: 95, 2: 5 } })
  const seen = [shareOfStep(record)]
  for (let step = 1; step < PLAN.steps.length; step += 1) {
    record = advance(record, BASELINE, 'good', `t${step}`)
    seen.push(shareOfStep(record))
  }
  assert.deepEqual(seen, PLAN.steps)
  assert.deepEqual(routingOf(record), { weights: { 2: 1 } })
  record = advance(record, BASELINE, 'good', 't3')
  assert.equal(record.state, 'promoted')
  assert.equal(routingOf(record), undefined)
  assert.deepEqual(
    record.events.map(({ event, share }) => `${event} ${share}`),
    ['started 5', 'step 50', 'step 100', 'promoted 100'],
  )
})

test('the routing before is restored, and a promotion keeps the labels only', () => {
  const before: Routing = {
    labels: { stable: '1', canary: '2' },
    weights: { stable: 3, 3: 1, canary: 9 },
    sticky: { header: 'x-user' },
  }
  const record = begin(before)
  assert.deepEqual(routingOf(record), {
    labels: before.labels,
    weights: { stable: 285, 3: 95, 2: 20 },
    sticky: before.sticky,
  })
  assert.deepEqual(routingOf(end(record, 'rolled_back', 'bad', 't1')), before)
  assert.deepEqual(routingOf(end(record, 'aborted', 'a request', 't1')), before)
  assert.deepEqual(routingOf(end(record, 'promoted', 'good', 't1')), { labels: before.labels })
  assert.equal(routingOf(end(begin(), 'rolled_back', 'bad', 't1')), undefined)
})

test('the new version gets its share of any routing, and the others keep their proportions', () => {
  const weight = fc.integer({ min: 0, max: 1_000_000 })
  const routings = fc.record({ 1: weight, 3: weight, 4: weight, old: weight, 2: weight })
  fc.assert(
    fc.property(routings, fc.integer({ min: 1, max: 99 }), (weights, share) => {
      const before = { labels: { old: '1', new: '2' }, weights }
      const present = presentWeights(before, '2', '1')
      const sum = Object.values(present).reduce((total, one) => total + one, 0)
      fc.pre(sum > 0)
      const plan = { ...PLAN, steps: [share] }
      const from = Object.keys(present).map((name) => versionOfLabel(before, name) ?? name)
      const routing = routingOf(beginRollout(plan, from, before, 't0'))
      checkRouting(routing, 'm', ['1', '2', '3', '4'])
      const all = Object.values(routing?.weights ?? {}).reduce((total, one) => total + one, 0)
      const shareOf = (name: string): number => (routing?.weights?.[name] ?? 0) / all
      assert.ok(Math.abs(shareOf('2') - share / 100) < 1e-4, `${shareOf('2')}`)
      for (const [name, own] of Object.entries(present))
        assert.ok(Math.abs(shareOf(name) - (own / sum) * (1 - share / 100)) < 1e-4)
    }),
    { seed: testSeed(), numRuns: 500 },
  )
})

test('a key moves to the new version at a step, and back only at the end', () => {
  const keys = Array.from({ length: 2000 }, (_, index) => `user-${index}`)
  const movedIn = (one: RolloutRecord): Set<string> => {
    const chooser = new VersionChooser('m', routingOf(one) ?? {})
    return new Set(keys.filter((key) => chooser.choose(key) === '2'))
  }
  let record = begin()
  let before = movedIn(record)
  for (let step = 1; step < PLAN.steps.length; step += 1) {
    record = advance(record, BASELINE, 'good', `t${step}`)
    const now = movedIn(record)
    assert.ok([...before].every((key) => now.has(key)))
    assert.ok(now.size > before.size)
    before = now
  }
  assert.equal(movedIn(end(record, 'rolled_back', 'bad', 't9')).size, 0)
})

test('a step ends when it was long enough and all criteria are good, and at once when one is bad', () => {
  const record = begin()
  const good = [evidence('good', 'errors'), evidence('good', 'latency')]
  const open = [evidence('good', 'errors'), evidence('open', 'latency')]
  const bad = [evidence('open', 'errors'), evidence('bad', 'latency')]
  assert.equal(decide(record, good, 10_000).kind, 'forward')
  assert.deepEqual(decide(record, good, 9001), { kind: 'wait', reason: 'the step lasts 1 s more' })
  assert.match(
    decide(record, open, 1e9).reason,
    /^the share of slow requests may be up to 3 % after 500, and passes at 2 %$/,
  )
  assert.equal(decide(record, open, 1e9).kind, 'wait')
  const back = decide(record, bad, 0)
  assert.equal(back.kind, 'back')
  assert.match(
    back.reason,
    /^latency: of 500 requests of version 2, at least 2 % take more than 2 times the 99th percentile of version 1; the limit is 1 %$/,
  )
  const paused = pause(record, true, 't1')
  assert.equal(decide(paused, good, 1e9).kind, 'wait')
  assert.equal(decide(paused, bad, 0).kind, 'back')
  assert.equal(pause(paused, true, 't2'), paused)
  const resumed = pause(paused, false, 't2')
  assert.equal(decide(resumed, good, 10_000).kind, 'forward')
  assert.deepEqual(
    resumed.events.map(({ event }) => event),
    ['started', 'paused', 'resumed'],
  )
})

test('changes by hand are refused while a rollout runs or is paused', () => {
  const record = begin()
  const refused = (one: RolloutRecord, version?: string): boolean => {
    try {
      refuseDuring(one, 'm', version)
      return false
    } catch (error) {
      return error instanceof ServerError && error.statusCode === 409
    }
  }
  assert.ok(refused(record) && refused(record, '1') && refused(record, '2'))
  assert.ok(refused(pause(record, true, 't1')))
  assert.ok(!refused(record, '3'))
  assert.ok(!refused(end(record, 'aborted', 'a request', 't1')))
})

test('the list of events is bounded, and keeps the first one', () => {
  let events = begin().events
  for (let index = 0; index < 300; index += 1)
    events = withEvent(events, {
      at: `t${index}`,
      event: 'paused',
      share: 5,
      reason: 'x'.repeat(2000),
    })
  assert.equal(events.length, 100)
  assert.equal(events[0]?.event, 'started')
  assert.equal(events.at(-1)?.at, 't299')
  assert.equal(events.at(-1)?.reason.length, 1000)
})
