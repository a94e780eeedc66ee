import type { Undo } from '../changes.ts'
import type { Commit, WorkerLimits } from '../registration.ts'
import type { Pool } from './pool.ts'

/** Keeps room for workers; the result gives it back. @throws ServerError where there is none */
type Admit = (missing: number, existing: number) => Promise<(() => void) | undefined>

/** How many workers there are to be. */
export interface WantedWorkers {
  readonly min: number
  readonly max: number
  /** Whether a request has said so. */
  readonly isScaled: boolean
}

/** Changes the number of workers of a pool, one change after the other. */
export class Scaler {
  readonly #pool: Pool
  readonly #admit: Admit
  #wanted: WantedWorkers
  /** Settles when the last change has begun: they begin in the order in which they came. */
  #last: Promise<unknown> = Promise.resolve()

  /** @param workers How many there are to be, until a request says otherwise. */
  constructor(pool: Pool, workers: number, admit: Admit) {
    this.#pool = pool
    this.#admit = admit
    this.#wanted = { min: workers, max: workers, isScaled: false }
  }

  get wanted(): WantedWorkers {
    return this.#wanted
  }

  /** Starts the first workers. @throws ServerError with the reason of the first that does not load */
  async start(): Promise<void> {
    const { min } = this.#wanted
    const release = await this.#makeRoom(min)
    await this.#pool.scale(min).finally(release)
  }

  /**
   * Brings the number of workers between `min` and `max`. Resolves when that has begun, with a promise
   * of its end.
   * @param commit Makes the new limits those that count.
   * @throws ServerError `InsufficientMemoryException` when there is no room for more, and what
   * `commit` throws; then all stays as it is.
   */
  scale(limits: WorkerLimits, commit: Commit): Promise<{ readonly done: Promise<void> }> {
    const begun = this.#last.then(() => this.#begin(limits, commit))
    this.#last = begun.catch(() => {})
    return begun
  }

  async #begin(limits: WorkerLimits, commit: Commit): Promise<{ readonly done: Promise<void> }> {
    const { min, max, timeoutMs } = limits
    const count = Math.min(Math.max(this.#pool.slots.length, min), max)
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
    this.#wanted = { min, max, isScaled: true }
    return () => {
      this.#wanted = before
    }
  }

  /** Keeps room for the workers that are missing up to `count`, until the result is called. */
  async #makeRoom(count: number): Promise<(() => void) | undefined> {
    const existing = this.#pool.slots.length
    return count <= existing ? undefined : this.#admit(count - existing, existing)
  }
}
