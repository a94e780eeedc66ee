/** Remembers requests that ended workers of a shadow version, so that they do not end more. */
import { requestDigest } from '../../contract/shadow-copy.ts'
import type { Parameter } from '../scheduling/queue/job.ts'

/** Maximum of workers that one request may end. */
const MAX_ENDS = 2
/** Maximum of remembered requests. The oldest is removed first. */
const MAX_ENTRIES = 1000

export class CrashingRequests {
  readonly #ends = new Map<string, { readonly bytes: number; readonly count: number }>()

  /** A worker crashed or hung while it ran a request. */
  record(sha256: string, bytes: number): void {
    const count = (this.#ends.get(sha256)?.count ?? 0) + 1
    // Deleting first makes the key the youngest of the map.
    this.#ends.delete(sha256)
    this.#ends.set(sha256, { bytes, count })
    const [oldest] = this.#ends.keys()
    if (this.#ends.size > MAX_ENTRIES && oldest !== undefined) this.#ends.delete(oldest)
  }

  /** Whether a request has ended too many workers. Nearly all have a size that is not known. */
  has(parameters: readonly Parameter[]): boolean {
    if (this.#ends.size === 0) return false
    const bytes = sizeOf(parameters)
    for (const ended of this.#ends.values())
      if (ended.bytes === bytes)
        return (this.#ends.get(requestDigest(parameters))?.count ?? 0) >= MAX_ENDS
    return false
  }
}

/** Bytes of all values. */
export function sizeOf(parameters: readonly Parameter[]): number {
  return parameters.reduce((sum, { value }) => sum + value.length, 0)
}
