import { ServerError, messageOf } from '../../errors.ts'

/** A failed load is tried again after 1 s, then after twice as long each time, at most 60 s. */
const FIRST_RETRY_MS = 1000
const MOST_RETRY_MS = 60_000

/** Why a model could not be loaded, and when a request may try again. */
export class LoadFailure {
  readonly #model: string
  #failures = 0
  #last: { readonly cause: unknown; readonly retryAt: number } | undefined

  constructor(model: string) {
    this.#model = model
  }

  /** What the last load threw; `undefined` if it succeeded or was forgotten. */
  get last(): { readonly cause: unknown } | undefined {
    return this.#last
  }

  /**
   * Why a request cannot be accepted now: the last load failed, and it is too early to try again.
   */
  rejection(): ServerError | undefined {
    if (this.#last === undefined) return undefined
    const leftMs = this.#last.retryAt - performance.now()
    return leftMs > 0 ? this.#errorOf(this.#last.cause, leftMs) : undefined
  }

  /** Returns the error for the requests that wait, and the time until the next try. */
  record(cause: unknown): { readonly error: ServerError; readonly retryInMs: number } {
    const retryInMs = Math.min(MOST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures)
    this.#failures += 1
    this.#last = { cause, retryAt: performance.now() + retryInMs }
    return { error: this.#errorOf(cause, retryInMs), retryInMs }
  }

  recordSuccess(): void {
    this.#failures = 0
    this.#last = undefined
  }

  /** The next request loads the model at once. */
  forget(): void {
    this.#last = undefined
  }

  #errorOf(cause: unknown, retryInMs: number): ServerError {
    const statusCode = cause instanceof ServerError && cause.statusCode === 507 ? 507 : 503
    const text = `Model ${this.#model} could not be loaded: ${messageOf(cause, 500)}`
    const retryAfterSeconds = Math.ceil(retryInMs / 1000)
    const options = { statusCode, retryAfterSeconds, cause }
    return new ServerError('ServiceUnavailableException', text, options)
  }
}
