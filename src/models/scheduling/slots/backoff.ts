/**
 * Restart delays, and when to stop restarting. Unlike in MMS, the delays are short, and after
 * repeated deaths the model counts as failed.
 */

const DELAYS_MS = [0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]
const MAX_DEATHS = 5
const WINDOW_MS = 60_000
/** A failed model gets one new attempt this often. */
const RETRY_MS = 60_000

/**
 * Counts deaths of a model's workers that the model probably caused, and returns the delay before
 * the next start.
 */
export class RestartPolicy {
  #deaths: number[] = []
  #hasGivenUp = false
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** True after five such deaths within a minute, until a worker finishes work. */
  get hasGivenUp(): boolean {
    return this.#hasGivenUp
  }

  /** A worker finished work, so the model works again. */
  recordSuccess(): void {
    this.reset()
  }

  /** Forgets all deaths. */
  reset(): void {
    if (this.#deaths.length > 0) this.#deaths = []
    this.#hasGivenUp = false
  }

  recordDeath(): void {
    const now = this.#now()
    this.#deaths = [...this.#deaths.filter((at) => now - at < WINDOW_MS), now]
    if (this.#deaths.length >= MAX_DEATHS) this.#hasGivenUp = true
  }

  /**
   * Returns the milliseconds before the next start of a worker that died `failures` times in a row.
   * Each slot counts its own failures, so that a slot that serves does not shorten the delay of a
   * slot that cannot start.
   */
  delayMs(failures: number): number {
    if (failures === 0) return 0
    return this.#hasGivenUp ? RETRY_MS : shortageDelayMs(failures)
  }
}

/**
 * Returns the milliseconds before the next start, after `failures` starts in a row that failed for
 * lack of resources.
 */
export function shortageDelayMs(failures: number): number {
  return DELAYS_MS[Math.min(failures, DELAYS_MS.length) - 1] ?? 0
}
