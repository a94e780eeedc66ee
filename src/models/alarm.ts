/** A timer that is set often and rarely fires: setting it later than it is set already costs nothing. */
export class Alarm {
  readonly #ring: () => void
  #timer: NodeJS.Timeout | undefined
  #ringsAt = 0

  constructor(ring: () => void) {
    this.#ring = ring
  }

  /** Rings at a time of the clock of `performance.now()`, at the latest. */
  set(at: number): void {
    if (this.#timer !== undefined && this.#ringsAt <= at) return
    clearTimeout(this.#timer)
    this.#ringsAt = at
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        this.#ring()
      },
      Math.ceil(at - performance.now()),
    )
    this.#timer.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
