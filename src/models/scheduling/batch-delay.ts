/** Each observation moves a median up or down by this factor. */
const MEDIAN_STEP = 1.2
/**
 * Bounds of a median, in milliseconds. Timers are no finer than the lower one. With the upper one
 * the median returns to a small value within a few dozen observations.
 */
const LEAST_MEDIAN_MS = 0.5
const MOST_MEDIAN_MS = 1000
/**
 * Wait at most this many medians for the next job. A job that comes later does not belong to the
 * group.
 */
const PATIENCE = 3
/** Weight of a run relative to the next one: about the last fifty runs count. */
const RUN_DECAY = 0.98
/** Runs before any conclusion. */
const LEAST_RUNS = 5
/** Below this variance all batch sizes count as equal. */
const LEAST_VARIANCE = 0.05
/**
 * Until batches had different sizes, this part of their time counts as fixed. It is large enough to
 * try waiting where jobs come close together.
 */
const FIRST_FIXED_PART = 0.75

/**
 * Learns whether waiting for the next job saves time before a batch goes to a worker. It uses g,
 * the typical time until the next job comes, and a + b·n, the cost of a batch of n jobs.
 *
 * A job that joins ends with the batch. A job that comes too late waits for the batch and then
 * needs its own run, which costs a again: joining saves it a - g. Each of the n waiting jobs loses
 * g, and b for the larger batch. So waiting saves time while n·(g + b) < a - g. If a run has no
 * fixed cost, a is 0 and nobody waits.
 *
 * Clients that wait for a response before their next request send in groups, shortly after a batch
 * was returned. A mean would mostly measure the pauses between the groups. So g is a median: one
 * after a return and one after an arrival.
 */
export class LearnedDelay {
  readonly #afterArrival = new Median()
  readonly #afterReturn = new Median()
  readonly #cost = new BatchCost()
  /** The last event, and its time. */
  #last = this.#afterArrival
  #lastAt = Number.NEGATIVE_INFINITY

  /** A job came at `now`, in milliseconds. */
  recordArrival(now: number): void {
    this.#last.add(now - this.#lastAt)
    this.#last = this.#afterArrival
    this.#lastAt = now
  }

  /** A batch of `size` jobs came back at `now` from a worker, after `ms` milliseconds. */
  recordReturn(now: number, size: number, ms: number): void {
    this.#cost.add(size, ms)
    this.#last.addMore(now - this.#lastAt)
    this.#last = this.#afterReturn
    this.#lastAt = now
  }

  /**
   * Returns the time until which `size` jobs should wait for one more; a past time if they should
   * not wait. They go if no job comes within three medians. Waiting saves time only while n·g is
   * less than a, so all waits together take less than three times the fixed cost of a run.
   */
  until(size: number): number {
    const gapMs = this.#last.value
    const { fixedMs, perJobMs } = this.#cost
    if (size * (gapMs + perJobMs) >= fixedMs - gapMs) return Number.NEGATIVE_INFINITY
    return this.#lastAt + PATIENCE * gapMs
  }
}

/** A moving median of positive numbers. */
class Median {
  value = MOST_MEDIAN_MS

  add(number: number): void {
    const next = number > this.value ? this.value * MEDIAN_STEP : this.value / MEDIAN_STEP
    this.value = Math.min(Math.max(next, LEAST_MEDIAN_MS), MOST_MEDIAN_MS)
  }

  /** Adds a number that is only known to be greater than `least`. */
  addMore(least: number): void {
    if (least > this.value) this.add(least)
  }
}

/** The line a + b·n through the run times of batches of n jobs. Older runs count less. */
export class BatchCost {
  #runs = 0
  #weight = 0
  #meanSize = 0
  #meanMs = 0
  /** Weighted sums of (size - mean)² and (size - mean)(time - mean). */
  #sizes = 0
  #both = 0
  /** The last b measured from batches of different sizes; `undefined` before that. */
  #slope: number | undefined

  add(size: number, ms: number): void {
    const before = this.#weight * RUN_DECAY
    this.#runs += 1
    this.#weight = before + 1
    const fromSize = size - this.#meanSize
    const fromMs = ms - this.#meanMs
    this.#meanSize += fromSize / this.#weight
    this.#meanMs += fromMs / this.#weight
    const share = before / this.#weight
    this.#sizes = this.#sizes * RUN_DECAY + fromSize * fromSize * share
    this.#both = this.#both * RUN_DECAY + fromSize * fromMs * share
    if (this.#sizes >= LEAST_VARIANCE * this.#weight) this.#slope = this.#both / this.#sizes
  }

  /** b in milliseconds. */
  get perJobMs(): number {
    if (this.#runs < LEAST_RUNS) return 0
    const mostMs = this.#meanMs / this.#meanSize
    const slope = this.#slope ?? mostMs * (1 - FIRST_FIXED_PART)
    return Math.min(Math.max(0, slope), mostMs)
  }

  /** a in milliseconds; 0 before enough runs. */
  get fixedMs(): number {
    return this.#runs < LEAST_RUNS ? 0 : this.#meanMs - this.perJobMs * this.#meanSize
  }
}
