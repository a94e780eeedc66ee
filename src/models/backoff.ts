/** Restart delays, and when to stop trying: section 3.2 of the original's behaviour, made quicker and finite. */

const DELAYS_MS = [0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]
const MAX_DEATHS = 5
const WINDOW_MS = 60_000
/** A model that is given up gets one new try this often. */
const RETRY_MS = 60_000

/**
 * Counts the deaths of a model's workers that look like the model's own fault (while loading, or with
 * work in hand and none finished before) and says how long to wait before the next start.
 */
export class RestartPolicy {
  #deaths: number[] = []
  #consecutive = 0
  #isOnProbation = false
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** True after five such deaths in a minute, until a worker has done its work again. */
  get hasGivenUp(): boolean {
    return this.#isOnProbation
  }

  /** A worker finished work: whatever was wrong is over. */
  recordSuccess(): void {
    if (this.#consecutive === 0 && !this.#isOnProbation) return
    this.#deaths = []
    this.#consecutive = 0
    this.#isOnProbation = false
  }

  /** Counts a death and returns the milliseconds to wait before the next start. */
  delayAfterDeath(isSuspicious: boolean): number {
    if (!isSuspicious) return 0
    const now = this.#now()
    this.#deaths = [...this.#deaths.filter((at) => now - at < WINDOW_MS), now]
    this.#consecutive += 1
    if (this.#deaths.length >= MAX_DEATHS) this.#isOnProbation = true
    if (this.#isOnProbation) return RETRY_MS
    return DELAYS_MS[Math.min(this.#consecutive - 1, DELAYS_MS.length - 1)] ?? 0
  }
}
