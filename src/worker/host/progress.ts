/** Keep about this much work in the socket of a busy worker: less and it idles, more and it hoards. */
const WORK_AHEAD_MS = 1
/** Of runs that take longer, none waits at a busy worker. */
const LONG_RUN_MS = 25
/** After so many answers (the inverse) one batch less is kept ahead. */
const HUNGER_DECAY = 0.02
/** Weight of the newest run in the moving average of run times. */
const AVERAGE_WEIGHT = 0.1
/** To wake a second worker costs more than runs shorter than this gain by it. */
const QUICK_RUN_MS = 0.1

export interface ProgressOptions {
  /** Milliseconds that the batch at the head may keep the worker. */
  readonly timeoutMs: number
  readonly maxDepth: number
  /** A body can be at the worker before its turn, however large it is. */
  readonly hasBodyFile: boolean
  readonly onTimeout: () => void
}

/** The batches of one worker, which it answers in order: how many are in flight, and how long the one at the head has run. */
export class Progress {
  readonly #options: ProgressOptions
  /** Batch number `#answered` is the one the worker is at. */
  #sent = 0
  #answered = 0
  #headStartedAt = 0
  #averageMs = 0
  /** Batches ahead beyond what the run time asks for. */
  #hunger = 0
  #deadline: NodeJS.Timeout | undefined

  constructor(options: ProgressOptions) {
    this.#options = options
  }

  get inFlight(): number {
    return this.#sent - this.#answered
  }

  get answered(): number {
    return this.#answered
  }

  /** Batches that should be in flight at once, the last of them one that others could still join. */
  get partialDepth(): number {
    return Math.min(this.#options.maxDepth, 1 + this.#aheadByTime)
  }

  /** Batches that should be in flight at once, from the measured run time. */
  get depth(): number {
    if (this.#answered === 0) return 1
    // One batch more where its way to the worker would be felt beside its run; one that waits long would be missed elsewhere.
    const isAhead = this.#options.hasBodyFile && this.#averageMs < LONG_RUN_MS
    const least = isAhead ? 1 + Math.floor(this.#hunger) : 0
    return Math.min(this.#options.maxDepth, 1 + Math.max(this.#aheadByTime, least))
  }

  /** Whether a run takes less than it costs to wake another worker for it. */
  get isQuick(): boolean {
    return this.#answered > 0 && this.#averageMs < QUICK_RUN_MS
  }

  /**
   * The worker had answered everything while work waited: this process was busy with something else for longer than
   * what was ahead lasted. It gets more from now on, until that has not happened for a while.
   */
  recordStarved(): void {
    this.#hunger = Math.min(this.#hunger + 1, this.#options.maxDepth)
  }

  /** Counts a batch that is sent, and returns its number. */
  begin(): number {
    const number = this.#sent++
    if (number === this.#answered) {
      this.#headStartedAt = performance.now()
      // One timer per worker, not one per batch: it looks at the head of the line when it fires.
      this.#deadline ??= setTimeout(() => this.#check(), this.#options.timeoutMs)
    }
    return number
  }

  /** Counts the answer to the batch at the head. */
  finish(): void {
    const now = performance.now()
    const runMs = now - this.#headStartedAt
    this.#averageMs += (runMs - this.#averageMs) * (this.#answered === 0 ? 1 : AVERAGE_WEIGHT)
    this.#hunger = Math.max(0, this.#hunger - HUNGER_DECAY)
    this.#answered += 1
    this.#headStartedAt = now
  }

  /** Whether the worker had come to a batch. */
  hasReached(number: number): boolean {
    return number <= this.#answered
  }

  /** No deadline applies any more. */
  stop(): void {
    clearTimeout(this.#deadline)
  }

  get #aheadByTime(): number {
    if (this.#answered === 0) return 0
    return Math.floor(WORK_AHEAD_MS / Math.max(this.#averageMs, 0.01))
  }

  #check(): void {
    this.#deadline = undefined
    if (this.inFlight === 0) return
    const leftMs = this.#headStartedAt + this.#options.timeoutMs - performance.now()
    if (leftMs > 0) this.#deadline = setTimeout(() => this.#check(), Math.ceil(leftMs))
    else this.#options.onTimeout()
  }
}
