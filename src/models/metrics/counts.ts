/**
 * Counters of the hot path. Each update is a few additions in existing memory; they are read only
 * on request.
 */

/** Classes of HTTP statuses of a response. */
const STATUS_CLASSES = ['2xx', '3xx', '4xx', '5xx'] as const

/**
 * Upper bounds of latencies in seconds: about three per decade, from the run of a tiny model (0.1
 * ms) to the default response timeout (60 s). A quantile read from them is wrong by a factor of 3
 * at most.
 */
export const LATENCY_BOUNDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  30, 60,
]

/**
 * Upper bounds of batch sizes. They show whether batches form at all, and their order of magnitude.
 */
export const BATCH_BOUNDS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256]

/** Responses by status class. */
export class StatusCounts {
  readonly #counts = new Float64Array(STATUS_CLASSES.length)

  /**
   * Counts a response. A status outside 200 to 599, which only a handler can set, was sent as 500.
   */
  count(status: number): void {
    const index = status >= 200 && status <= 599 ? Math.trunc(status / 100) - 2 : 3
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
  }

  get total(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0)
  }

  /** Every class with its count, also if it is 0. */
  get entries(): [statusClass: string, count: number][] {
    return STATUS_CLASSES.map((name, index) => [name, this.#counts[index] ?? 0])
  }
}

/** A histogram: the number of values between bounds. */
export class Distribution {
  readonly bounds: readonly number[]
  /**
   * Number of values above the previous bound and up to this one. The last entry counts values
   * above all bounds. It is created with the first value: a server may have thousands of models
   * that nobody uses.
   */
  #counts: Float64Array | undefined
  #sum = 0

  /** @param bounds Upper bounds, inclusive, ascending. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds
  }

  /** Adds a value `times` times. */
  observe(value: number, times = 1): void {
    let index = 0
    for (const bound of this.bounds) {
      if (value <= bound) break
      index += 1
    }
    const counts = (this.#counts ??= this.#zeros())
    counts[index] = (counts[index] ?? 0) + times
    this.#sum += value * times
  }

  get sum(): number {
    return this.#sum
  }

  /** Number of values added. */
  get count(): number {
    return this.#counts?.reduce((sum, count) => sum + count, 0) ?? 0
  }

  /** Number of values at or below each bound; the last entry counts all values. */
  get cumulative(): number[] {
    let count = 0
    return Array.from(this.#counts ?? this.#zeros(), (inside) => (count += inside))
  }

  #zeros(): Float64Array {
    return new Float64Array(this.bounds.length + 1)
  }
}
