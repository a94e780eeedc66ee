/** Rollouts with made-up requests and a made-up clock. */
import { evidenceOf } from '../../src/models/rollout/evidence.ts'
import { checkPlan } from '../../src/models/rollout/plan.ts'
import type { RolloutRecord } from '../../src/models/rollout/plan.ts'
import {
  advance,
  beginRollout,
  decide,
  end,
  isActive,
  shareOfStep,
} from '../../src/models/rollout/rollout.ts'
import { StepWatch } from '../../src/models/rollout/step-watch.ts'
import type { RandomNumbers } from './random.ts'

/** How a version behaves. */
export interface Behaviour {
  /** Share of requests that fail. */
  readonly errors: number
  /** Median of the response times in milliseconds; they have a lognormal distribution. */
  readonly medianMs: number
  /** Share of responses that differ from those of the present version. */
  readonly wrong: number
}

/** How a simulated rollout ended. */
export interface SimulatedEnd {
  readonly record: RolloutRecord
  /** Requests that the new version got. */
  readonly requests: number
}

const SPREAD = 0.4
const REQUESTS_PER_LOOK = 200
const COMPARED_PER_LOOK = 50
const MAX_LOOKS = 5000

/** Runs a rollout until it ends, or 1 000 000 requests are over. */
export function simulate(
  asked: object,
  next: Behaviour,
  present: Behaviour,
  random: RandomNumbers,
): SimulatedEnd {
  const plan = checkPlan({ to: '2', hold: 2, ...asked })
  let record = beginRollout(plan, ['1'], undefined, 'start')
  let watch = new StepWatch(plan, 0)
  let requests = 0
  let heldLooks = 0
  const disagreed = { count: 0, hits: 0 }
  for (let look = 0; look < MAX_LOOKS && isActive(record); look += 1) {
    const share = shareOfStep(record) / 100
    for (let index = 0; index < REQUESTS_PER_LOOK; index += 1) {
      const side = random.next() < share ? 'next' : 'present'
      const { errors, medianMs } = side === 'next' ? next : present
      const isError = random.next() < errors
      if (side === 'next') requests += 1
      watch.count(side, { requests: 1, errors: Number(isError) })
      if (!isError) watch.time(side, medianMs * Math.exp(SPREAD * normal(random)))
    }
    for (let index = 0; index < COMPARED_PER_LOOK; index += 1) {
      disagreed.count += 1
      if (random.next() < next.wrong) disagreed.hits += 1
    }
    heldLooks += 1
    const evidence = evidenceOf(plan, watch.observed(disagreed))
    const { kind, reason } = decide(record, evidence, heldLooks * 1000)
    if (kind === 'back') record = end(record, 'rolled_back', reason, `look ${look}`)
    if (kind !== 'forward') continue
    record = advance(record, watch.baseline(), reason, `look ${look}`)
    watch = new StepWatch(plan, record.step, record.baseline)
    heldLooks = 0
  }
  return { record, requests }
}

/** Box-Muller. */
function normal(random: RandomNumbers): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
}
