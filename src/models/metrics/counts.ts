/** Counters of the hot path: a few additions into memory that is already there, read when somebody asks. */

/** Classes of HTTP statuses that an answer can have. */
const STATUS_CLASSES = ['2xx', '3xx', '4xx', '5xx'] as const

/**
 * Upper bounds of latencies, in seconds: three to a decade, from the run of a tiny model (0.1 ms) to the
 * default response timeout (60 s). A quantile read out of them is off by a factor of 2.5 at most.
 */
export const LATENCY_BOUNDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  30, 60,
]

/** Upper bounds of batch sizes: what matters is whether batches form at all, then their order of size. */
export const BATCH_BOUNDS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256]

/** Answers by the class of their status. */
export class StatusCounts {
  readonly #counts = new Float64Array(STATUS_CLASSES.length)

  /** Counts an answer. A status that ends no request, which only a handler can think of, was sent as 500. */
  count(status: number): void {
    const index = status >= 200 && status <= 599 ? Math.trunc(status / 100) - 2 : 3
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
  }

  get total(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0)
  }

  /** Every class with its count, zeros too. */
  get entries(): [statusClass: string, count: number][] {
    return STATUS_CLASSES.map((name, index) => [name, this.#counts[index] ?? 0])
  }
}

/** How often values fell between which bounds. */
export class Distribution {
  readonly bounds: readonly number[]
  /** Values above the bound before and up to this one; the last place is for those above all bounds. */
  readonly #counts: Float64Array
  #sum = 0

  /** @param bounds Upper bounds, inclusive, ascending. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  /** Adds a value, `times` over. */
  observe(value: number, times = 1): void {
    let index = 0
    for (const bound of this.bounds) {
      if (value <= bound) break
      index += 1
    }
    this.#counts[index] = (this.#counts[index] ?? 0) + times
    this.#sum += value * times
  }

  get sum(): number {
    return this.#sum
  }

  /** Values added so far. */
  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0)
  }

  /** How many values lie at or below each bound; the last number counts them all. */
  get cumulative(): number[] {
    let count = 0
    return Array.from(this.#counts, (inside) => (count += inside))
  }
}
