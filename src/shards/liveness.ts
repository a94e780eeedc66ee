/** Finds processes that do not answer any more, for example because they are stopped. */

const CHECK_MS = 2000
/** A process may be busy. It is ended when this many checks in a row had no answer. */
const MAX_MISSES = 10

/** A process that is asked. */
export interface Asked {
  /** `undefined` until it listens. */
  readonly listeningSince: number | undefined
  /** Resolves with `undefined` if there is no answer in time. */
  ask(question: { readonly about: 'alive' }): Promise<unknown>
  /** Ends it at once. */
  kill(): void
}

/** Asks each process again and again, until it is closed. */
export class Liveness {
  readonly #misses = new WeakMap<Asked, number>()
  readonly #timer: NodeJS.Timeout

  /** @param running The processes at the time of the call. */
  constructor(running: () => readonly Asked[], checkMs = CHECK_MS) {
    this.#timer = setInterval(() => {
      for (const one of running()) if (one.listeningSince !== undefined) void this.#check(one)
    }, checkMs).unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #check(asked: Asked): Promise<void> {
    const answer = await asked.ask({ about: 'alive' })
    const misses = answer === undefined ? (this.#misses.get(asked) ?? 0) + 1 : 0
    this.#misses.set(asked, misses)
    if (misses === MAX_MISSES) asked.kill()
  }
}
