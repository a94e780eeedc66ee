/** One limit for all bytes of requests and responses that the server holds at the same time. */
import { totalmem } from 'node:os'
import process from 'node:process'
import { ServerError } from '../../errors.ts'

const MIB = 1024 * 1024
/** Share of the memory of the control group or the machine. */
const SHARE = 0.25
const RETRY_SECONDS = 1

/** Counts the held bytes and rejects more if the limit is reached. */
export class ByteBudget {
  readonly maxBytes: number
  #held = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Bytes that are held now. */
  get held(): number {
    return this.#held
  }

  /**
   * Adds held bytes. A single request may exceed the budget if no other request holds bytes; the
   * limits for one request still apply.
   * @param own Bytes that are already held for the same request.
   * @throws ServerError `ServiceUnavailableException` if the budget is exceeded.
   */
  hold(bytes: number, own: number): void {
    if (this.#held > own && this.#held + bytes > this.maxBytes) {
      const text = 'The server holds too many bytes of other requests and responses.'
      throw new ServerError('ServiceUnavailableException', text, {
        retryAfterSeconds: RETRY_SECONDS,
      })
    }
    this.#held += bytes
  }

  /** Releases bytes that {@link hold} added. */
  release(bytes: number): void {
    this.#held -= bytes
  }
}

/**
 * The budget in bytes for a setting in MiB. 0 means a quarter of the memory that this process may
 * use.
 */
export function budgetBytes(settingMib: number): number {
  if (settingMib > 0) return settingMib * MIB
  const limit = process.constrainedMemory()
  const memory = limit > 0 ? Math.min(limit, totalmem()) : totalmem()
  return Math.floor(memory * SHARE)
}
