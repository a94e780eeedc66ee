import type { Tally } from './confidence.ts'
import type { Observed } from './evidence.ts'
import type { Baseline, RolloutPlan } from './plan.ts'

/** Requests that a version has completed, and those that failed. */
export interface Completed {
  readonly requests: number
  readonly errors: number
}

/** Which version an observation is of. */
export type Side = 'next' | 'present'

/** The first requests of a step are slow: caches are cold, code is not compiled yet. */
export const WARM_UP = 20
/** Response times of the present version that its 99th percentile is taken from. */
const LEARNED = 200
/** Response times of the new version that wait for the limit. */
const MAX_WAITING = 2000
const QUANTILE = 0.99

/** Counts what the two versions do in one step of a rollout. */
export class StepWatch {
  readonly #maxRatio: number
  readonly #completed = { next: { count: 0, hits: 0 }, present: { count: 0, hits: 0 } }
  readonly #timed = { next: { count: 0, hits: 0 }, present: { count: 0, hits: 0 } }
  readonly #skipped = { next: 0, present: 0 }
  readonly #learned: number[] = []
  readonly #waiting: number[] = []
  #p99: number | undefined

  /**
   * @param baseline What the present version did before. Its 99th percentile stays. Its counts are
   * used if the present version gets no requests in this step.
   */
  constructor(plan: RolloutPlan, step: number, baseline?: Baseline) {
    this.#maxRatio = plan.max_p99_ratio
    this.#p99 = baseline?.p99_ms
    if (baseline === undefined || plan.steps[step] !== 100) return
    const { requests, errors, timed, slow } = baseline
    this.#completed.present = { count: requests, hits: errors }
    this.#timed.present = { count: timed, hits: slow }
  }

  /** The 99th percentile of the present version in milliseconds, when it is known. */
  get p99(): number | undefined {
    return this.#p99
  }

  /** Adds requests that a version has completed, in any way. */
  count(side: Side, { requests, errors }: Completed): void {
    add(this.#completed[side], requests, errors)
  }

  /** Adds the response time of a request that succeeded, in milliseconds. */
  time(side: Side, ms: number): void {
    if (this.#skipped[side] < WARM_UP) this.#skipped[side] += 1
    else if (this.#p99 !== undefined) this.#compare(side, ms, this.#p99)
    else if (side === 'present') this.#learn(ms)
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(ms)
  }

  /** What was counted so far. @param disagreed Comparisons of responses. */
  observed(disagreed: Tally): Observed {
    return { errors: copy(this.#completed), slow: copy(this.#timed), disagreed }
  }

  /** What a later step needs to know of the present version. */
  baseline(): Baseline {
    const { count: requests, hits: errors } = this.#completed.present
    const { count: timed, hits: slow } = this.#timed.present
    return { requests, errors, timed, slow, ...(this.#p99 !== undefined && { p99_ms: this.#p99 }) }
  }

  /**
   * The times that the percentile is taken from are not compared with it. So the share of the
   * present version above it is measured, whatever the error of the percentile is.
   */
  #learn(ms: number): void {
    this.#learned.push(ms)
    if (this.#learned.length < LEARNED) return
    const sorted = this.#learned.toSorted((one, other) => one - other)
    const p99 = sorted[Math.ceil(QUANTILE * LEARNED) - 1] ?? ms
    this.#p99 = p99
    for (const time of this.#waiting.splice(0)) this.#compare('next', time, p99)
  }

  #compare(side: Side, ms: number, p99: number): void {
    const limit = side === 'next' ? p99 * this.#maxRatio : p99
    add(this.#timed[side], 1, ms > limit ? 1 : 0)
  }
}

function add(tally: { count: number; hits: number }, count: number, hits: number): void {
  tally.count += count
  tally.hits += hits
}

function copy(sides: { next: Tally; present: Tally }): { next: Tally; present: Tally } {
  return { next: { ...sides.next }, present: { ...sides.present } }
}
