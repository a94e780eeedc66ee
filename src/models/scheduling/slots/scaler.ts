import { WHOLE, partOf } from '../../../share.ts'
import type { Share } from '../../../share.ts'
import type { Undo } from '../../changes.ts'
import type { Commit, WorkerLimits } from '../../registration.ts'
import type { Pool } from '../pool.ts'

/**
 * Reserves memory for workers; the result releases it.
 * @throws ServerError if too little memory is left.
 */
type Admit = (missing: number, existing: number) => Promise<(() => void) | undefined>

/** The wanted number of workers, in all HTTP processes together. */
export interface WantedWorkers {
  readonly min: number
  readonly max: number
  /** Whether a request has set it. */
  readonly isScaled: boolean
  /** The part of `min` that this process has. */
  readonly own: number
}

/** Changes the number of workers of a pool, one change after another. */
export class Scaler {
  readonly #pool: Pool
  readonly #admit: Admit
  readonly #share: Share
  #wanted: WantedWorkers
  /** Settles when the last change has begun. Changes begin in the order in which they came. */
  #last: Promise<unknown> = Promise.resolve()

  /**
   * @param workers Wanted number until a request sets another one.
   * @param share The part of the workers that this process has; absent for all.
   */
  constructor(pool: Pool, workers: number, share: Share | undefined, admit: Admit) {
    this.#pool = pool
    this.#admit = admit
    this.#share = share ?? WHOLE
    this.#wanted = {
      min: workers,
      max: workers,
      isScaled: false,
      own: partOf(workers, this.#share),
    }
  }

  get wanted(): WantedWorkers {
    return this.#wanted
  }

  /**
   * Starts the first workers.
   * @throws ServerError with the reason of the first one that does not load.
   */
  async start(): Promise<void> {
    let started = 0
    // A request may want more workers while the first ones start.
    while (started < this.#wanted.own) {
      started = this.#wanted.own
      const release = await this.#makeRoom(started)
      await this.#pool.scale(started).finally(release)
    }
  }

  /**
   * Brings the number of workers between `min` and `max`. Resolves when the change has begun, with
   * a promise of its end.
   * @param commit Puts the new limits into effect.
   * @param isAsleep Whether no worker is to be started now.
   * @throws ServerError `InsufficientMemoryException` if more workers do not fit; the error of
   * `commit`. Then nothing changes.
   */
  scale(
    limits: WorkerLimits,
    commit: Commit,
    isAsleep = false,
  ): Promise<{ readonly done: Promise<void> }> {
    const begun = this.#last.then(() => this.#begin(limits, commit, isAsleep))
    this.#last = begun.catch(() => {})
    return begun
  }

  async #begin(
    limits: WorkerLimits,
    commit: Commit,
    isAsleep: boolean,
  ): Promise<{ readonly done: Promise<void> }> {
    const { min, max, timeoutMs } = limits
    const { length } = this.#pool.slots
    const [least, most] = [partOf(min, this.#share), partOf(max, this.#share)]
    const count = Math.min(isAsleep ? length : Math.max(length, least), most)
    const release = await this.#makeRoom(count)
    const { wanted } = this
    const isNew = !wanted.isScaled || wanted.min !== min || wanted.max !== max
    try {
      if (isNew) await commit(() => this.#want(limits))
    } catch (error) {
      release?.()
      throw error
    }
    return { done: this.#pool.scale(count, timeoutMs).finally(release) }
  }

  #want({ min, max }: WorkerLimits): Undo {
    const before = this.#wanted
    this.#wanted = { min, max, isScaled: true, own: partOf(min, this.#share) }
    return () => {
      this.#wanted = before
    }
  }

  /** Reserves memory for the missing workers up to `count`, until the result is called. */
  async #makeRoom(count: number): Promise<(() => void) | undefined> {
    const existing = this.#pool.slots.length
    return count <= existing ? undefined : this.#admit(count - existing, existing)
  }
}
