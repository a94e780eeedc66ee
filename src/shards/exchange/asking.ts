/** Time for an answer. One that takes longer is not waited for. */
const ANSWER_MS = 1000

/** Asks another process questions, each with a number that its answer has too. */
export class Asking<Q> {
  readonly #send: (id: number, question: Q) => void
  readonly #answers = new Map<number, (value: unknown) => void>()
  #last = 0
  #hasEnded = false

  /** @param send Sends a question. It may be lost. */
  constructor(send: (id: number, question: Q) => void) {
    this.#send = send
  }

  /** Returns the answer; `undefined` if there is none within `ms` milliseconds. */
  ask(question: Q, ms = ANSWER_MS): Promise<unknown> {
    if (this.#hasEnded) return Promise.resolve(undefined)
    const id = ++this.#last
    return new Promise((resolve) => {
      const finish = (value: unknown): void => {
        clearTimeout(timer)
        this.#answers.delete(id)
        resolve(value)
      }
      const timer = setTimeout(finish, ms, undefined)
      this.#answers.set(id, finish)
      this.#send(id, question)
    })
  }

  /** Takes the answer to the question with this number. */
  take(id: number, value: unknown): void {
    this.#answers.get(id)?.(value)
  }

  /** The other process has ended: no question gets an answer any more. */
  end(): void {
    this.#hasEnded = true
    for (const finish of this.#answers.values()) finish(undefined)
  }
}
