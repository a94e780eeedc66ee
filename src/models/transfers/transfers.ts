/** Running uploads and downloads of models: their maximum number, and the progress of each. */
import type { Logger } from 'pino'
import { ServerError } from '../../errors.ts'

/** Seconds until a client may try again; a transfer takes seconds to minutes. */
const RETRY_AFTER_SECONDS = 10
/** Minimum time between two log lines about progress. */
const PROGRESS_MS = 5000

/** One upload or download with its progress. */
export class Transfer {
  readonly kind: 'upload' | 'download'
  readonly startedAt = new Date()
  readonly #log: Logger
  readonly #begun = performance.now()
  #loggedAt = performance.now()
  /**
   * The URL without its query, or the file name; `undefined` for an upload until its file begins.
   */
  name: string | undefined
  /** Bytes of the whole body received so far. */
  bytes = 0
  /** Announced size in bytes. */
  totalBytes: number | undefined

  constructor(kind: Transfer['kind'], name: string | undefined, log: Logger) {
    this.kind = kind
    this.name = name
    this.#log = log
  }

  /** Milliseconds since the transfer began. */
  get elapsedMs(): number {
    return performance.now() - this.#begun
  }

  /** Records the progress, and logs it at intervals. */
  advance(bytes: number, totalBytes: number | undefined): void {
    this.bytes = bytes
    this.totalBytes = totalBytes
    if (performance.now() - this.#loggedAt < PROGRESS_MS) return
    this.#loggedAt = performance.now()
    this.#log.info(
      { kind: this.kind, name: this.name, bytes, totalBytes },
      'model transfer running',
    )
  }
}

/** All transfers of a server. */
export class Transfers {
  readonly #most: number
  readonly #log: Logger
  readonly #current = new Set<Transfer>()

  /** @param most Maximum of transfers at the same time, uploads and downloads together. */
  constructor(most: number, log: Logger) {
    this.#most = most
    this.#log = log
  }

  /** Running transfers, oldest first. */
  get current(): readonly Transfer[] {
    return [...this.#current]
  }

  /**
   * Runs `work`, unless the maximum number of transfers is running.
   * @throws ServerError `ServiceUnavailableException` with a time to retry.
   */
  async run<T>(
    kind: Transfer['kind'],
    name: string | undefined,
    work: (transfer: Transfer) => Promise<T>,
  ): Promise<T> {
    if (this.#current.size >= this.#most) {
      throw new ServerError(
        'ServiceUnavailableException',
        `${this.#most} models are being uploaded or downloaded; try again later.`,
        { retryAfterSeconds: RETRY_AFTER_SECONDS },
      )
    }
    const transfer = new Transfer(kind, name, this.#log)
    this.#current.add(transfer)
    this.#log.info({ kind, name }, 'model transfer running')
    try {
      return await work(transfer)
    } finally {
      this.#current.delete(transfer)
    }
  }
}
