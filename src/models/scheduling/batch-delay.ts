/** A median goes up or down by this factor with each thing that is seen. */
const MEDIAN_STEP = 1.2
/** Between these a median stays, milliseconds: timers are no finer, and it must find back within a few dozen steps. */
const LEAST_MEDIAN_MS = 0.5
const MOST_MEDIAN_MS = 1000
/** The next job is awaited for so many medians; when it has not come by then, it is not one of a group. */
const PATIENCE = 3
/** What a run counts for after the next one: the last fifty or so matter. */
const RUN_DECAY = 0.98
/** Runs before anything is concluded from them. */
const LEAST_RUNS = 5
/** Variance of the batch sizes below which they count as all the same. */
const LEAST_VARIANCE = 0.05
/** Until batches had different sizes, this part of their time is taken for fixed: enough to try, where jobs come close together. */
const FIRST_FIXED_PART = 0.75

/**
 * Learns whether it pays to wait for the next job before a batch goes to a worker: from the time g that it mostly takes
 * until the next job comes, and from what a batch of n jobs costs, a + b·n.
 *
 * A job that joins ends with the batch; one that comes too late waits for the batch and then needs a run of its own,
 * which costs a once more: joining saves it a - g. Each of the n that wait for it loses g, and b for the larger batch. So
 * waiting pays while n·(g + b) < a - g. Where a run costs nothing but its jobs, a is 0 and nobody waits.
 *
 * Clients that wait for an answer before they ask again come in groups, soon after a batch was returned. A mean would be
 * that of the pauses between the groups; so g is a median, one after a return and one after an arrival.
 */
export class LearnedDelay {
  readonly #afterArrival = new Median()
  readonly #afterReturn = new Median()
  readonly #cost = new BatchCost()
  /** What happened last, and when. */
  #last = this.#afterArrival
  #lastAt = Number.NEGATIVE_INFINITY

  /** A job came at `now`, milliseconds. */
  recordArrival(now: number): void {
    this.#last.add(now - this.#lastAt)
    this.#last = this.#afterArrival
    this.#lastAt = now
  }

  /** A batch of `size` jobs came back at `now` from a worker, which needed `ms` milliseconds for it. */
  recordReturn(now: number, size: number, ms: number): void {
    this.#cost.add(size, ms)
    this.#last.addMore(now - this.#lastAt)
    this.#last = this.#afterReturn
    this.#lastAt = now
  }

  /**
   * Until when `size` jobs should wait for one more, or a time that is over. When none comes within three medians they
   * go; and as it pays only while n·g is less than a, all this lasts less than three times the fixed cost of a run.
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

  /** A number of which it is known only that it is above another one. */
  addMore(least: number): void {
    if (least > this.value) this.add(least)
  }
}

/** The line a + b·n through the times of batches of n jobs, of which the older count less and less. */
export class BatchCost {
  #runs = 0
  #weight = 0
  #meanSize = 0
  #meanMs = 0
  /** Weighted sums of (size - mean)² and (size - mean)(time - mean). */
  #sizes = 0
  #both = 0
  /** b as it was when batches last had different sizes; `undefined` when they never had. */
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

  /** b, milliseconds. */
  get perJobMs(): number {
    if (this.#runs < LEAST_RUNS) return 0
    const mostMs = this.#meanMs / this.#meanSize
    const slope = this.#slope ?? mostMs * (1 - FIRST_FIXED_PART)
    return Math.min(Math.max(0, slope), mostMs)
  }

  /** a, milliseconds; 0 while little is known. */
  get fixedMs(): number {
    return this.#runs < LEAST_RUNS ? 0 : this.#meanMs - this.perJobMs * this.#meanSize
  }
}
