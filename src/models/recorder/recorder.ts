/** Records requests in the background. */
import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import { messageOf } from '../../errors.ts'
import { waitAtMost } from '../wait-at-most.ts'
import { RingFile } from './ring-file.ts'
import type { FinishedRequest } from './ring-file.ts'

export type { FinishedRequest }

/** Memory for the copies of requests and responses that are not yet written. */
const BUFFER_BYTES = 64 * 1024 * 1024
/** Rough memory of a request besides its bodies. */
const OWN_BYTES = 4096
/** Requests that are written at once. */
const MAX_BATCH = 64
/** A disk that does not respond must not keep the server from ending. */
const CLOSE_MS = 2000

/** Why a request is not in the file. */
export type DropReason = 'buffer' | 'size' | 'disk'

/** Counts for metrics. */
export interface RecordingCounts {
  readonly recorded: number
  readonly dropped: Readonly<Record<DropReason, number>>
}

/** Memory that is reserved for one request. */
export interface Reservation {
  bytes: number
}

/** Writes finished requests to a file, one after the other. Callers never wait for it. */
export class Recorder {
  readonly #file: RingFile
  readonly #models: ReadonlySet<string>
  readonly #log: Logger
  readonly #waiting: { readonly request: FinishedRequest; readonly reservation: Reservation }[] = []
  readonly #counts = { recorded: 0, dropped: { buffer: 0, size: 0, disk: 0 } }
  /** Names of headers and query parameters that are secret besides the usual ones. */
  readonly redact: readonly string[]
  #reserved = 0
  #writing: Promise<void> | undefined
  #isFailing = false
  #isClosed = false

  private constructor(file: RingFile, { recordModels, recordRedact }: Config, log: Logger) {
    this.#file = file
    this.#models = new Set(recordModels)
    this.redact = recordRedact
    this.#log = log
  }

  /**
   * Returns `undefined` if nothing is to be recorded.
   * @throws ConfigError if the file cannot be used.
   */
  static async start(config: Config, log: Logger): Promise<Recorder | undefined> {
    const { record, recordMib } = config
    if (record === '') return undefined
    const file = await RingFile.open(record, recordMib)
    log.info({ file: record, mib: recordMib }, 'recording requests and responses')
    return new Recorder(file, config, log)
  }

  get counts(): RecordingCounts {
    return this.#counts
  }

  /** Whether requests of a model are recorded. */
  records(model: string): boolean {
    return !this.#isClosed && (this.#models.size === 0 || this.#models.has(model))
  }

  /** Whether a record of this size fits into the file. */
  fits(bytes: number): boolean {
    return bytes + OWN_BYTES <= this.#file.maxRecordBytes
  }

  /** Reserves memory for a request. Without room, or if it is too large, it counts as dropped. */
  reserve(bytes: number): Reservation | undefined {
    const reservation = { bytes: 0 }
    if (!this.fits(bytes)) this.#counts.dropped.size += 1
    else if (this.extend(reservation, bytes + OWN_BYTES)) return reservation
    return undefined
  }

  /** Reserves more memory for a request. Without room the request counts as dropped. */
  extend(reservation: Reservation, bytes: number): boolean {
    if (this.#reserved + bytes > BUFFER_BYTES) {
      this.#counts.dropped.buffer += 1
      this.release(reservation)
      return false
    }
    this.#reserved += bytes
    reservation.bytes += bytes
    return true
  }

  /** Gives memory back. */
  release(reservation: Reservation): void {
    this.#reserved -= reservation.bytes
    reservation.bytes = 0
  }

  /** Writes a request soon, and then gives its memory back. */
  add(request: FinishedRequest, reservation: Reservation): void {
    if (this.#isClosed) {
      this.release(reservation)
      return
    }
    this.#waiting.push({ request, reservation })
    this.#writing ??= this.#writeAll().finally(() => (this.#writing = undefined))
  }

  /** Writes what is waiting, and closes the file. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const writing = this.#writing ?? Promise.resolve()
    await waitAtMost(
      CLOSE_MS,
      writing.then(() => this.#file.close()).catch(() => {}),
    )
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH)
      try {
        const written = await this.#file.write(batch.map(({ request }) => request))
        this.#counts.recorded += written
        this.#counts.dropped.size += batch.length - written
        if (this.#isFailing) this.#log.info('requests are recorded again')
        this.#isFailing = false
      } catch (error) {
        this.#counts.dropped.disk += batch.length
        const reason = messageOf(error, 200)
        if (!this.#isFailing) this.#log.error({ reason }, 'requests cannot be recorded')
        this.#isFailing = true
      }
      for (const { reservation } of batch) this.release(reservation)
    }
  }
}
