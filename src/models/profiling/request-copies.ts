import type { WireParameter, WireRequest } from '../../worker/wire/messages.ts'
import { Job } from '../scheduling/queue/job.ts'
import type { Header } from '../scheduling/queue/job.ts'

/** Copies that are kept at most, and their bytes. */
const MAX_COPIES = 64
const MAX_BYTES = 64 * 1024 * 1024

/**
 * Copies of live requests for a worker that profiles them. New ones come first; when no more come,
 * the kept ones are used again.
 */
export class RequestCopies {
  readonly #copies: WireRequest[] = []
  #bytes = 0
  /** Copies that were used at least once. */
  #used = 0
  #next = 0
  #sayNew: () => void = () => {}

  /** Number of requests that were copied. */
  get count(): number {
    return this.#copies.length
  }

  /** Copies a request, if there is room. The memory of a body is used again after its request. */
  offer(headers: readonly Header[], parameters: readonly WireParameter[]): void {
    const bytes = parameters.reduce((sum, { value }) => sum + value.length, 0)
    if (this.#copies.length >= MAX_COPIES || this.#bytes + bytes > MAX_BYTES) return
    this.#bytes += bytes
    const copied = parameters.map((one) => ({ ...one, value: Buffer.from(one.value) }))
    this.#copies.push(new Job(headers, copied).request)
    this.#sayNew()
  }

  /** Returns a copy that was not used before; waits for one until `signal` is aborted. */
  async nextNew(signal: AbortSignal): Promise<WireRequest | undefined> {
    while (this.#used === this.#copies.length) {
      if (signal.aborted || this.#copies.length === MAX_COPIES) return undefined
      await new Promise<void>((resolve) => {
        this.#sayNew = resolve
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
    return this.#copies[this.#used++]
  }

  /** Returns one of the copies, each in its turn; `undefined` if there is none. */
  again(): WireRequest | undefined {
    return this.#copies[this.#next++ % this.#copies.length]
  }
}
