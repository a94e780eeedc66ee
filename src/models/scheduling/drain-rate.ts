/** Weight of the newest interval in the moving average. */
const AVERAGE_WEIGHT = 0.1
const MOST_SECONDS = 60

/** How fast a queue empties, measured while jobs wait in it. */
export class DrainRate {
  #msPerJob = 0
  /** When jobs were last done; `undefined` if no job waited then. */
  #lastAt: number | undefined

  /** `count` jobs are done at `now` (milliseconds); `waiting` others are not at a worker yet. */
  record(count: number, now: number, waiting: number): void {
    if (this.#lastAt !== undefined && count > 0) {
      const msPerJob = (now - this.#lastAt) / count
      const weight = this.#msPerJob === 0 ? 1 : AVERAGE_WEIGHT
      this.#msPerJob += (msPerJob - this.#msPerJob) * weight
    }
    this.#lastAt = waiting > 0 ? now : undefined
  }

  /**
   * Returns the whole seconds until `waiting` jobs are probably done: 1 to 60; 1 before the first
   * measurement.
   */
  secondsFor(waiting: number): number {
    const seconds = Math.ceil((waiting * this.#msPerJob) / 1000)
    return Math.min(Math.max(seconds, 1), MOST_SECONDS)
  }
}
