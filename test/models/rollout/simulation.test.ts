/** How often a rollout decides wrongly, and how soon it decides. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomNumbers, testSeed } from '../../helpers/random.ts'
import { simulate } from '../../helpers/simulated-rollout.ts'
import type { Behaviour, SimulatedEnd } from '../../helpers/simulated-rollout.ts'

const seed = testSeed()
const PRESENT: Behaviour = { errors: 0.005, medianMs: 10, wrong: 0 }
const PLAN = { steps: [20, 60, 100], max_p99_ratio: 1.5, min_agreement: 0.995 }
const MAX_FALSE_ALARMS = 0.02
const IDENTICAL = 200
const BAD = 40

function runs(count: number, plan: object, next: Behaviour): SimulatedEnd[] {
  const random = randomNumbers(seed)
  return Array.from({ length: count }, () => simulate(plan, next, PRESENT, random))
}

const stateOf = ({ record }: SimulatedEnd): string => record.state
const reasonOf = ({ record }: SimulatedEnd): string => record.events.at(-1)?.reason ?? ''

// Its times are exactly as large as the limit, so this is the hardest case.
test(`an identical version at the limit of the latency is promoted, seed ${seed}`, () => {
  const plan = { ...PLAN, steps: [40, 100], max_p99_ratio: 1, max_error_rate: 0.02 }
  const ended = runs(IDENTICAL, plan, PRESENT)
  const back = ended.filter((run) => stateOf(run) === 'rolled_back')
  assert.ok(back.length < IDENTICAL * MAX_FALSE_ALARMS, back.map(reasonOf).join('\n'))
  assert.ok(
    ended.every((run) => stateOf(run) !== 'running'),
    'no rollout is held',
  )
})

for (const [what, next, reason, maxRequests] of [
  ['3 times slower', { ...PRESENT, medianMs: 30 }, /^latency: /, 500],
  ['wrong in 2 % of the responses', { ...PRESENT, wrong: 0.02 }, /^agreement: /, 5000],
  ['failing in 5 % of the requests', { ...PRESENT, errors: 0.05 }, /^errors: /, 5000],
  ['failing always', { ...PRESENT, errors: 1 }, /^errors: /, 100],
] as const) {
  test(`a version ${what} is rolled back in the first step, seed ${seed}`, () => {
    for (const run of runs(BAD, PLAN, next)) {
      assert.equal(stateOf(run), 'rolled_back')
      assert.match(reasonOf(run), reason)
      assert.equal(run.record.step, 0)
      assert.ok(run.requests <= maxRequests, `${run.requests} requests`)
    }
  })
}
