/** Resolution of Node's timers. */
const TIMER_MS = 1

/**
 * A timer that is set often and rarely fires. Setting it to a later time than before costs nothing.
 */
export class WakeUpTimer {
  readonly #fire: () => void
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  #firesAt = Number.POSITIVE_INFINITY

  constructor(fire: () => void) {
    this.#fire = fire
  }

  /** Fires at the latest at `at`, on the clock of `performance.now()`. */
  set(at: number): void {
    if (this.#firesAt <= at) return
    this.stop()
    this.#firesAt = at
    const leftMs = at - performance.now()
    // A timer would turn 100 µs into 1 ms.
    if (leftMs < TIMER_MS) this.#checkSoon()
    else this.#timer = setTimeout(() => this.#check(), Math.ceil(leftMs)).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#firesAt = Number.POSITIVE_INFINITY
  }

  /** Timers may also fire early, by less than a millisecond. */
  #check(): void {
    if (performance.now() < this.#firesAt) {
      this.#checkSoon()
    } else {
      this.#firesAt = Number.POSITIVE_INFINITY
      this.#fire()
    }
  }

  /**
   * Checks the clock again after other events. Without `unref`: with it the event loop would sleep
   * until the next event.
   */
  #checkSoon(): void {
    this.#immediate = setImmediate(() => this.#check())
  }
}
