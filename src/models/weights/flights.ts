/** Lets callers that need the same result share the work for it. */

interface Flight<T> {
  readonly result: Promise<T>
  readonly controller: AbortController
  waiting: number
}

/** Work in progress, by an id. It is aborted when nobody waits for it any more. */
export class Flights<T> {
  readonly #flights = new Map<string, Flight<T>>()
  #isClosed = false

  /**
   * Starts the work, or waits for the same work that was started before.
   * @throws the reason of `signal`, or the error of the work.
   */
  async join(id: string, signal: AbortSignal, work: (stop: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    if (this.#isClosed) throw new Error('the server stops')
    const flight = this.#flights.get(id) ?? this.#start(id, work)
    flight.waiting += 1
    let leave = (): void => {}
    const left = new Promise<never>((_resolve, reject) => {
      leave = () => reject(new Error('the load was stopped'))
    })
    signal.addEventListener('abort', leave, { once: true })
    try {
      return await Promise.race([flight.result, left])
    } finally {
      signal.removeEventListener('abort', leave)
      flight.waiting -= 1
      if (flight.waiting === 0) flight.controller.abort()
    }
  }

  /** Aborts all work and waits for its end. */
  async close(): Promise<void> {
    this.#isClosed = true
    const flights = [...this.#flights.values()]
    for (const { controller } of flights) controller.abort()
    await Promise.allSettled(flights.map(({ result }) => result))
  }

  #start(id: string, work: (stop: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController()
    const result = work(controller.signal).finally(() => {
      if (this.#flights.get(id) === flight) this.#flights.delete(id)
    })
    // A caller that has left does not see the error.
    result.catch(() => {})
    const flight: Flight<T> = { result, controller, waiting: 0 }
    this.#flights.set(id, flight)
    return flight
  }
}
