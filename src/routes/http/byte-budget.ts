/** One limit for all bytes of requests and responses that the server holds at a time. */
import { totalmem } from 'node:os'
import process from 'node:process'
import { ServerError } from '../../errors.ts'

const MIB = 1024 * 1024
/** Of the memory that the control group or the machine has. */
const SHARE = 0.25
const RETRY_SECONDS = 1

/** Counts bytes that are held, and says when there are too many. */
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
   * Holds more. A request that is alone may exceed the budget: its own limits bound it.
   * @param own What is held for the same request already.
   * @throws ServerError `ServiceUnavailableException` when there is no room.
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

  /** Lets go of what {@link hold} took. */
  release(bytes: number): void {
    this.#held -= bytes
  }
}

/** Bytes for a setting in MiB; 0 stands for a quarter of the memory that this process may use. */
export function budgetBytes(settingMib: number): number {
  if (settingMib > 0) return settingMib * MIB
  const limit = process.constrainedMemory()
  const memory = limit > 0 ? Math.min(limit, totalmem()) : totalmem()
  return Math.floor(memory * SHARE)
}
