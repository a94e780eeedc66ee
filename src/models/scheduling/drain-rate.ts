/** Weight of the newest interval in the moving average. */
const AVERAGE_WEIGHT = 0.1
const MOST_SECONDS = 60

/** How fast a queue empties, measured while something waits in it. */
export class DrainRate {
  #msPerJob = 0
  /** When jobs were done last, `undefined` when nothing waited then. */
  #lastAt: number | undefined

  /** `count` jobs are done at `now`, milliseconds; `waiting` others are not yet at a worker. */
  record(count: number, now: number, waiting: number): void {
    if (this.#lastAt !== undefined && count > 0) {
      const msPerJob = (now - this.#lastAt) / count
      const weight = this.#msPerJob === 0 ? 1 : AVERAGE_WEIGHT
      this.#msPerJob += (msPerJob - this.#msPerJob) * weight
    }
    this.#lastAt = waiting > 0 ? now : undefined
  }

  /** Whole seconds until so many waiting jobs are likely to be done: 1 to 60, and 1 while nothing is known. */
  secondsFor(waiting: number): number {
    const seconds = Math.ceil((waiting * this.#msPerJob) / 1000)
    return Math.min(Math.max(seconds, 1), MOST_SECONDS)
  }
}
