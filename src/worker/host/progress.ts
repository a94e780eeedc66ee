/**
 * Each response subtracts this from {@link Progress.idleWhileWaited}, so one count is gone after 50
 * responses.
 */
const IDLE_DECAY = 0.02
/** Weight of the newest run in the moving average of run times. */
const AVERAGE_WEIGHT = 0.1

export interface ProgressOptions {
  /** Milliseconds that the oldest batch may take. */
  readonly timeoutMs: number
  /** Maximum number of batches in flight. */
  readonly maxInFlight: number
  /**
   * True when large bodies go through a file, so they can reach the worker before their run starts.
   */
  readonly hasBodyFile: boolean
  readonly onTimeout: () => void
}

/**
 * Tracks the batches of one worker, which answers them in order: how many are in flight, and how
 * long the oldest has run.
 */
export class Progress {
  /** Set to 1 by {@link noteStream}. */
  maxInFlight: number
  readonly hasBodyFile: boolean
  readonly #options: ProgressOptions
  /** The batch with number `#answered` is the one that runs now. */
  #sent = 0
  #answered = 0
  #headStartedAt = 0
  /** When the running batch last showed that it goes on. */
  #heardAt = 0
  #isSuspended = false
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

  /** Moving average of the run times, milliseconds; `undefined` before the first response. */
  get meanRunMs(): number | undefined {
    return this.#answered === 0 ? undefined : this.#meanRunMs
  }

  /** How often, recently, the worker was idle while work waited. */
  get idleWhileWaited(): number {
    return this.#idleWhileWaited
  }

  /**
   * Records that the worker had answered everything while work waited. The front-end process was
   * then busy for longer than the batches at the worker took.
   */
  recordIdleWhileWaited(): void {
    this.#idleWhileWaited = Math.min(this.#idleWhileWaited + 1, this.maxInFlight)
  }

  /** Counts a batch that is sent and returns its number. */
  begin(): number {
    const number = this.#sent++
    if (number === this.#answered) {
      this.#headStartedAt = performance.now()
      // One timer per worker, not one per batch: when it fires, it checks the oldest batch.
      this.#deadline ??= setTimeout(() => this.#check(), this.#options.timeoutMs)
    }
    return number
  }

  /** Counts the response to the oldest batch. */
  finish(): void {
    const now = performance.now()
    const runMs = now - this.#headStartedAt
    this.#meanRunMs += (runMs - this.#meanRunMs) * (this.#answered === 0 ? 1 : AVERAGE_WEIGHT)
    this.#idleWhileWaited = Math.max(0, this.#idleWhileWaited - IDLE_DECAY)
    this.#answered += 1
    this.#headStartedAt = now
  }

  /** A response is streamed. Batches that are sent ahead would wait for its end. */
  noteStream(): void {
    this.maxInFlight = 1
  }

  /** The running batch goes on: it has sent a part of a response. Its deadline begins anew. */
  extend(): void {
    this.#heardAt = performance.now()
  }

  /** No deadline applies while a client cannot take what the worker sends. */
  suspend(): void {
    this.#isSuspended = true
  }

  resume(): void {
    this.#isSuspended = false
    this.extend()
  }

  /** Whether the worker had started a batch, or finished it. */
  hasReached(number: number): boolean {
    return number <= this.#answered
  }

  /** Stops the timer, when no deadline applies any more. */
  stop(): void {
    clearTimeout(this.#deadline)
  }

  #check(): void {
    this.#deadline = undefined
    if (this.inFlight === 0) return
    const now = performance.now()
    const since = this.#isSuspended ? now : Math.max(this.#headStartedAt, this.#heardAt)
    const leftMs = since + this.#options.timeoutMs - now
    if (leftMs > 0) this.#deadline = setTimeout(() => this.#check(), Math.ceil(leftMs))
    else this.#options.onTimeout()
  }
}
