/** Resolution of Node's timers. */
const TIMER_MS = 1

/**
 * A timer that is set often and rarely fires. Setting it to a later time than before costs nothing.
 */
export class Alarm {
  readonly #ring: () => void
  #timer: NodeJS.Timeout | undefined
  #turn: NodeJS.Immediate | undefined
  #ringsAt = Number.POSITIVE_INFINITY

  constructor(ring: () => void) {
    this.#ring = ring
  }

  /** Fires at the latest at `at`, on the clock of `performance.now()`. */
  set(at: number): void {
    if (this.#ringsAt <= at) return
    this.stop()
    this.#ringsAt = at
    const leftMs = at - performance.now()
    // A timer would turn 100 µs into 1 ms.
    if (leftMs < TIMER_MS) this.#nextTurn()
    else this.#timer = setTimeout(() => this.#look(), Math.ceil(leftMs)).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#turn)
    this.#ringsAt = Number.POSITIVE_INFINITY
  }

  /** Timers may also fire early, by less than a millisecond. */
  #look(): void {
    if (performance.now() < this.#ringsAt) {
      this.#nextTurn()
    } else {
      this.#ringsAt = Number.POSITIVE_INFINITY
      this.#ring()
    }
  }

  /**
   * Checks the clock again after other events. Without `unref`: with it the event loop would sleep
   * until the next event.
   */
  #nextTurn(): void {
    this.#turn = setImmediate(() => this.#look())
  }
}
