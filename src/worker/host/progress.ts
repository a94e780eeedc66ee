/** What each response takes off {@link Progress.idleWhileWaited}: after fifty it counts one less. */
const IDLE_DECAY = 0.02
/** Weight of the newest run in the moving average of run times. */
const AVERAGE_WEIGHT = 0.1

export interface ProgressOptions {
  /** Milliseconds that the batch at the head may keep the worker. */
  readonly timeoutMs: number
  /** Batches that may be in flight at most. */
  readonly maxInFlight: number
  /** Large bodies reach the worker beside its socket, so they can be there before their turn. */
  readonly hasBodyFile: boolean
  readonly onTimeout: () => void
}

/** The batches of one worker, which it answers in order: how many are in flight, and how long the one at the head has run. */
export class Progress {
  readonly maxInFlight: number
  readonly hasBodyFile: boolean
  readonly #options: ProgressOptions
  /** Batch number `#answered` is the one the worker is at. */
  #sent = 0
  #answered = 0
  #headStartedAt = 0
  #meanRunMs = 0
  #idleWhileWaited = 0
  #deadline: NodeJS.Timeout | undefined

  constructor(options: ProgressOptions) {
    this.#options = options
    this.maxInFlight = options.maxInFlight
    this.hasBodyFile = options.hasBodyFile
  }

  get inFlight(): number {
    return this.#sent - this.#answered
  }

  get answered(): number {
    return this.#answered
  }

  /** Moving mean of the run times, milliseconds; `undefined` before the first response. */
  get meanRunMs(): number | undefined {
    return this.#answered === 0 ? undefined : this.#meanRunMs
  }

  /** How often of late the worker had nothing to do while work waited. */
  get idleWhileWaited(): number {
    return this.#idleWhileWaited
  }

  /**
   * The worker had answered everything while work waited: this process was busy with something else
   * for longer than the work ahead of the worker lasted.
   */
  recordIdleWhileWaited(): void {
    this.#idleWhileWaited = Math.min(this.#idleWhileWaited + 1, this.maxInFlight)
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
    this.#meanRunMs += (runMs - this.#meanRunMs) * (this.#answered === 0 ? 1 : AVERAGE_WEIGHT)
    this.#idleWhileWaited = Math.max(0, this.#idleWhileWaited - IDLE_DECAY)
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

  #check(): void {
    this.#deadline = undefined
    if (this.inFlight === 0) return
    const leftMs = this.#headStartedAt + this.#options.timeoutMs - performance.now()
    if (leftMs > 0) this.#deadline = setTimeout(() => this.#check(), Math.ceil(leftMs))
    else this.#options.onTimeout()
  }
}
