/** One limit for all bytes of requests and responses that the server holds at the same time. */
import { KEPT_BYTES, largeBuffers } from '../../buffer-pool.ts'
import { ServerError } from '../../errors.ts'
import { memoryLimitBytes } from '../../system/machine-memory.ts'

const MIB = 1024 * 1024
/** Default budget: this share of the memory of the control group or the machine. */
const SHARE = 0.25
/**
 * Share of the budget that bodies may occupy. The rest is for buffers that are kept for reuse, and
 * for freed buffers until the garbage collector returns them.
 */
const SHARE_OF_BODIES = 0.75
/** Share of the budget for buffers that are kept for reuse. */
const SHARE_KEPT = 0.125
const RETRY_SECONDS = 1
/** Share of the budget for copies that no client waits for, and their maximum in bytes. */
const SHARE_SPARE = 0.125
const MOST_SPARE = 64 * MIB

/** Counts the held bytes and rejects more if the limit is reached. */
export class ByteBudget {
  readonly #maxBytes: number
  readonly #maxSpare: number
  #held = 0
  #spare = 0

  /** @param memoryBytes Memory for the bodies, and for what their buffers leave behind. */
  constructor(memoryBytes: number) {
    this.#maxBytes = memoryBytes * SHARE_OF_BODIES
    this.#maxSpare = Math.min(memoryBytes * SHARE_SPARE, MOST_SPARE)
    largeBuffers.limitTo(Math.min(KEPT_BYTES, memoryBytes * SHARE_KEPT))
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
    if (this.#held > own && this.#held + bytes > this.#maxBytes) {
      const text =
        'The bodies of all current requests and responses exceed the memory limit of the server (memoryBudgetMib). Try again later.'
      throw new ServerError('ServiceUnavailableException', text, {
        retryAfterSeconds: RETRY_SECONDS,
      })
    }
    this.#held += bytes
  }

  /**
   * Holds bytes of a copy that no client waits for. Returns false if there is no room for it beside
   * the requests. These bytes never cause the rejection of a request.
   */
  holdSpare(bytes: number): boolean {
    const spare = this.#spare + bytes
    if (spare > this.#maxSpare || this.#held + spare > this.#maxBytes) return false
    this.#spare = spare
    return true
  }

  /** Releases bytes that {@link holdSpare} added. */
  releaseSpare(bytes: number): void {
    this.#spare -= bytes
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
  return Math.floor(memoryLimitBytes() * SHARE)
}
