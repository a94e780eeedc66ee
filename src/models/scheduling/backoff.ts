/** Restart delays, and when to stop trying: section 3.2 of the original's behaviour, made quicker and finite. */

const DELAYS_MS = [0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]
const MAX_DEATHS = 5
const WINDOW_MS = 60_000
/** A model that is given up gets one new try this often. */
const RETRY_MS = 60_000

/**
 * Counts the deaths of a model's workers that look like the model's own fault, and says how long to
 * wait before the next start.
 */
export class RestartPolicy {
  #deaths: number[] = []
  #hasGivenUp = false
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** True after five such deaths in a minute, until a worker has done its work again. */
  get hasGivenUp(): boolean {
    return this.#hasGivenUp
  }

  /** A worker finished work: whatever was wrong with the model is over. */
  recordSuccess(): void {
    if (this.#deaths.length > 0) this.#deaths = []
    this.#hasGivenUp = false
  }

  recordDeath(): void {
    const now = this.#now()
    this.#deaths = [...this.#deaths.filter((at) => now - at < WINDOW_MS), now]
    if (this.#deaths.length >= MAX_DEATHS) this.#hasGivenUp = true
  }

  /**
   * Milliseconds to wait before a worker is started again that died `failures` times in a row. They are
   * counted for each place: a worker that serves must not hurry one beside it that cannot start.
   */
  delayMs(failures: number): number {
    if (failures === 0) return 0
    return this.#hasGivenUp ? RETRY_MS : shortageDelayMs(failures)
  }
}

/** Milliseconds to wait before the next try of a start that failed `failures` times in a row for lack of resources. */
export function shortageDelayMs(failures: number): number {
  return DELAYS_MS[Math.min(failures, DELAYS_MS.length) - 1] ?? 0
}
