import type { Tally } from './confidence.ts'
import { evidenceOf } from './evidence.ts'
import type { Evidence } from './evidence.ts'
import type { Baseline, RolloutRecord } from './plan.ts'
import { StepWatch } from './step-watch.ts'
import type { Completed, Side } from './step-watch.ts'
import { VersionFeed } from './version-feed.ts'
import type { WatchedVersion } from './version-feed.ts'

/** Comparisons of responses since shadow traffic to a version began. */
export interface Agreement {
  readonly compared: number
  readonly agreed: number
}

/** Returns the comparisons of a version; `undefined` if it gets no shadow traffic. */
export type AgreementSource = (model: string, version: string) => Agreement | undefined

/** Requests with a response, and those that failed. */
export interface StepCounts {
  readonly requests: number
  readonly errors: number
}

/** What {@link RunningStep} needs. */
export interface RunningStepOptions {
  readonly record: RolloutRecord
  readonly next: WatchedVersion
  readonly present: readonly WatchedVersion[]
  /** Returns the comparisons of the new version. */
  readonly agreement: () => Agreement | undefined
  /** Comparisons before the rollout, from the step before; absent in the first step. */
  readonly compared?: Agreement | undefined
}

const NOTHING: Tally = { count: 0, hits: 0 }

/** The observations of the present step of one rollout, since it or the server started. */
export class RunningStep {
  readonly #record: RolloutRecord
  readonly #watch: StepWatch
  readonly #next: VersionFeed
  readonly #present: readonly VersionFeed[]
  readonly #agreement: () => Agreement | undefined
  readonly #since = performance.now()
  #compared: Agreement

  constructor({ record, next, present, agreement, compared }: RunningStepOptions) {
    const watch = new StepWatch(record.plan, record.step, record.baseline)
    this.#record = record
    this.#watch = watch
    this.#next = new VersionFeed(next, (ms) => watch.time('next', ms))
    this.#present = present.map(
      (model) => new VersionFeed(model, (ms) => watch.time('present', ms)),
    )
    this.#agreement = agreement
    this.#compared = compared ?? agreement() ?? { compared: 0, agreed: 0 }
  }

  /** Comparisons before the rollout, for the next step. */
  get comparedBefore(): Agreement {
    return this.#compared
  }

  get heldMs(): number {
    return performance.now() - this.#since
  }

  /** The 99th percentile of the present version in milliseconds, when it is known. */
  get p99(): number | undefined {
    return this.#watch.p99
  }

  /** Requests of each side. */
  get counts(): { readonly next: StepCounts; readonly present: StepCounts } {
    const { next, present } = this.#watch.observed(NOTHING).errors
    return {
      next: { requests: next.count, errors: next.hits },
      present: { requests: present.count, errors: present.hits },
    }
  }

  /** Whether it observes this step of these versions. A reload may have replaced one. */
  observes(step: number, next: WatchedVersion, present: readonly WatchedVersion[]): boolean {
    const isSame = (model: WatchedVersion, index: number): boolean =>
      this.#present[index]?.model === model
    return this.#record.step === step && this.#next.model === next && present.every(isSame)
  }

  /** Reads the counts of the versions and returns the evidence. */
  look(): readonly Evidence[] {
    this.#watch.count('next', this.#next.read())
    for (const feed of this.#present) this.#watch.count('present', feed.read())
    return evidenceOf(this.#record.plan, this.#watch.observed(this.#disagreed()))
  }

  /**
   * Adds what another HTTP process has seen of a version.
   * @param times Response times in milliseconds.
   */
  add(model: WatchedVersion, completed: Completed, times: readonly number[]): void {
    const side = this.#sideOf(model)
    if (side === undefined) return
    this.#watch.count(side, completed)
    for (const ms of times) this.#watch.time(side, ms)
  }

  /** What a later step needs to know of the present version. */
  baseline(): Baseline {
    return this.#watch.baseline()
  }

  close(): void {
    for (const feed of [this.#next, ...this.#present]) feed.close()
  }

  #sideOf(model: WatchedVersion): Side | undefined {
    if (this.#next.model === model) return 'next'
    return this.#present.some((feed) => feed.model === model) ? 'present' : undefined
  }

  #disagreed(): Tally {
    const now = this.#agreement()
    if (now === undefined) return NOTHING
    // Shadow traffic was started again, and counts from 0.
    if (now.compared < this.#compared.compared) this.#compared = { compared: 0, agreed: 0 }
    const count = now.compared - this.#compared.compared
    const agreed = Math.min(count, Math.max(0, now.agreed - this.#compared.agreed))
    return { count, hits: count - agreed }
  }
}
