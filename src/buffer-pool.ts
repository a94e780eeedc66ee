/**
 * Reuses buffers for large bodies. V8 counts each new buffer as memory outside its heap, and after
 * a certain amount it marks the whole heap. With bodies of megabytes that happened once per request
 * and took longer than the rest of the request.
 */

const LEAST_BYTES = 64 * 1024
/** Maximum of free bytes that the pool keeps. */
export const KEPT_BYTES = 64 * 1024 * 1024
/** The pool frees its buffers if no large buffer was requested for this long. */
const IDLE_MS = 5000

/** Lends buffers. The garbage collector frees a buffer that is not given back. */
export class BufferPool {
  /** Free buffers by size class. Each class has twice the size of the one before. */
  readonly #free: Buffer[][] = []
  readonly #lent = new WeakSet<ArrayBufferLike>()
  #keptBytes: number
  #freeBytes = 0
  #wasUsed = false
  #timer: NodeJS.Timeout | undefined

  constructor(keptBytes = KEPT_BYTES) {
    this.#keptBytes = keptBytes
  }

  /** Sets the maximum of free bytes that the pool keeps from now on. */
  limitTo(keptBytes: number): void {
    this.#keptBytes = keptBytes
  }

  /** Bytes of the free buffers in the pool. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /**
   * Returns a buffer of at least `bytes`; its content is undefined. Below 64 KiB it comes from
   * Node's own pool.
   */
  take(bytes: number): Buffer {
    if (bytes < LEAST_BYTES) return Buffer.allocUnsafe(bytes)
    this.#wasUsed = true
    const sizeClass = classOf(bytes)
    const used = this.#free[sizeClass]?.pop()
    if (used !== undefined) this.#freeBytes -= used.length
    const buffer = used ?? Buffer.allocUnsafeSlow(capacityFor(bytes))
    this.#lent.add(buffer.buffer)
    return buffer
  }

  /**
   * Takes back a buffer of {@link take}, or a view of it. Other buffers are ignored, and so is a
   * second call. After this call nobody may read or write the buffer: the next body is written to
   * it.
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

/** The pool of this process. */
export const largeBuffers = new BufferPool()

/** The size of the buffer that {@link BufferPool.take} returns. */
export function capacityFor(bytes: number): number {
  return bytes < LEAST_BYTES ? bytes : LEAST_BYTES * 2 ** classOf(bytes)
}

/** The memory that a buffer occupies: that of the whole buffer of which it is a part. */
export function memoryOf({ length, buffer }: Buffer): number {
  // Small buffers share memory with others.
  return length < LEAST_BYTES ? length : buffer.byteLength
}

function classOf(bytes: number): number {
  return Math.max(0, Math.ceil(Math.log2(bytes / LEAST_BYTES)))
}
