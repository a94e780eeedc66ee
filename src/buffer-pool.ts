/**
 * Buffers for large bodies that are used again. To V8 each new one is memory outside its heap, and after some
 * of that it marks the whole heap: with bodies of megabytes once a request, which took longer than the rest.
 */

const LEAST_BYTES = 64 * 1024
/** Kept for the next ones, at most. */
const KEPT_BYTES = 64 * 1024 * 1024
/** What nobody has asked for in this time is let go. */
const IDLE_MS = 5000

/** Lends buffers. One that is not given back is the garbage collector's, as any other. */
export class BufferPool {
  /** By size class, each twice the one before. */
  readonly #free: Buffer[][] = []
  readonly #lent = new WeakSet<ArrayBufferLike>()
  readonly #keptBytes: number
  #freeBytes = 0
  #wasUsed = false
  #timer: NodeJS.Timeout | undefined

  constructor(keptBytes = KEPT_BYTES) {
    this.#keptBytes = keptBytes
  }

  /** Bytes that wait to be used again. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /** A buffer of at least `bytes`, with anything in it. Small ones come from Node's own pool. */
  take(bytes: number): Buffer {
    if (bytes < LEAST_BYTES) return Buffer.allocUnsafe(bytes)
    this.#wasUsed = true
    const sizeClass = classOf(bytes)
    const used = this.#free[sizeClass]?.pop()
    if (used !== undefined) this.#freeBytes -= used.length
    const buffer = used ?? Buffer.allocUnsafeSlow(LEAST_BYTES * 2 ** sizeClass)
    this.#lent.add(buffer.buffer)
    return buffer
  }

  /**
   * Takes back what {@link take} gave, or a view of it; nothing happens to any other buffer, or the second time. From
   * now on nobody may read or write it: the next body will lie there.
   */
  give({ buffer }: Buffer): void {
    if (!this.#lent.delete(buffer)) return
    if (this.#freeBytes + buffer.byteLength > this.#keptBytes) return
    const sizeClass = classOf(buffer.byteLength)
    const free = (this.#free[sizeClass] ??= [])
    free.push(Buffer.from(buffer))
    this.#freeBytes += buffer.byteLength
    this.#timer ??= setInterval(() => this.#letGo(), IDLE_MS).unref()
  }

  #letGo(): void {
    const isIdle = !this.#wasUsed
    this.#wasUsed = false
    if (!isIdle) return
    this.#free.length = 0
    this.#freeBytes = 0
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

/** The one of this process. */
export const largeBuffers = new BufferPool()

function classOf(bytes: number): number {
  return Math.max(0, Math.ceil(Math.log2(bytes / LEAST_BYTES)))
}
