/** Models on their way to this machine: how many at a time, and how far each has come. */
import type { Logger } from 'pino'
import { ServerError } from '../../errors.ts'

/** When a client may try again; a transfer takes seconds to minutes. */
const RETRY_AFTER_SECONDS = 10
/** Progress is worth a log line this often. */
const PROGRESS_MS = 5000

/** One upload or download, as far as it has come. */
export class Transfer {
  readonly kind: 'upload' | 'download'
  readonly startedAt = new Date()
  readonly #log: Logger
  #loggedAt = performance.now()
  /** The URL without its query, or the name of the file; of an upload `undefined` until its file begins. */
  name: string | undefined
  /** Of the whole body. */
  bytes = 0
  /** As announced. */
  totalBytes: number | undefined

  constructor(kind: Transfer['kind'], name: string | undefined, log: Logger) {
    this.kind = kind
    this.name = name
    this.#log = log
  }

  /** Notes how far it has come. */
  advance(bytes: number, totalBytes: number | undefined): void {
    this.bytes = bytes
    this.totalBytes = totalBytes
    if (performance.now() - this.#loggedAt < PROGRESS_MS) return
    this.#loggedAt = performance.now()
    this.#log.info({ kind: this.kind, name: this.name, bytes, totalBytes }, 'model on its way')
  }
}

/** All transfers of a server. */
export class Transfers {
  readonly #most: number
  readonly #log: Logger
  readonly #current = new Set<Transfer>()

  /** @param most Transfers at the same time, up and down together. */
  constructor(most: number, log: Logger) {
    this.#most = most
    this.#log = log
  }

  /** Those that are under way, oldest first. */
  get current(): readonly Transfer[] {
    return [...this.#current]
  }

  /**
   * Runs `work` unless as many as are allowed are running.
   * @throws ServerError `ServiceUnavailableException` with a time to try again.
   */
  async run<T>(
    kind: Transfer['kind'],
    name: string | undefined,
    work: (transfer: Transfer) => Promise<T>,
  ): Promise<T> {
    if (this.#current.size >= this.#most) {
      throw new ServerError(
        'ServiceUnavailableException',
        `${this.#most} models are on their way to this server; try again later.`,
        { retryAfterSeconds: RETRY_AFTER_SECONDS },
      )
    }
    const transfer = new Transfer(kind, name, this.#log)
    this.#current.add(transfer)
    this.#log.info({ kind, name }, 'model on its way')
    try {
      return await work(transfer)
    } finally {
      this.#current.delete(transfer)
    }
  }
}
