/** How many models may be on their way to this machine at a time. */
import { ServerError } from '../errors.ts'

/** When a client may try again; a transfer takes seconds to minutes. */
const RETRY_AFTER_SECONDS = 10

/** Counts transfers. One object is shared by all requests that it limits together. */
export class TransferLimit {
  readonly #most: number
  #current = 0

  constructor(most: number) {
    this.#most = most
  }

  /**
   * Runs `transfer` unless as many as are allowed are running.
   * @throws ServerError `ServiceUnavailableException` with a time to try again.
   */
  async run<T>(transfer: () => Promise<T>): Promise<T> {
    if (this.#current >= this.#most) {
      throw new ServerError(
        'ServiceUnavailableException',
        `${this.#most} models are on their way to this server; try again later.`,
        { retryAfterSeconds: RETRY_AFTER_SECONDS },
      )
    }
    this.#current += 1
    try {
      return await transfer()
    } finally {
      this.#current -= 1
    }
  }
}
