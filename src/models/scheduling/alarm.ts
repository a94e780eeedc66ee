/** Timers of the system are no finer than this. */
const TIMER_MS = 1

/** A timer that is set often and rarely fires: setting it later than it is set already costs nothing. */
export class Alarm {
  readonly #ring: () => void
  #timer: NodeJS.Timeout | undefined
  #turn: NodeJS.Immediate | undefined
  #ringsAt = Number.POSITIVE_INFINITY

  constructor(ring: () => void) {
    this.#ring = ring
  }

  /** Rings at a time of the clock of `performance.now()`, at the latest. */
  set(at: number): void {
    if (this.#ringsAt <= at) return
    this.stop()
    this.#ringsAt = at
    const leftMs = at - performance.now()
    // A timer would make a millisecond of 100 µs.
    if (leftMs < TIMER_MS) this.#nextTurn()
    else this.#timer = setTimeout(() => this.#look(), Math.ceil(leftMs)).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#turn)
    this.#ringsAt = Number.POSITIVE_INFINITY
  }

  /** Timers may also be early, by less than a millisecond. */
  #look(): void {
    if (performance.now() < this.#ringsAt) {
      this.#nextTurn()
    } else {
      this.#ringsAt = Number.POSITIVE_INFINITY
      this.#ring()
    }
  }

  /**
   * Looks at the clock after other events. Not with `unref`: the event loop would sleep until there
   * is one.
   */
  #nextTurn(): void {
    this.#turn = setImmediate(() => this.#look())
  }
}
