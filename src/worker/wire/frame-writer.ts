/** Builds one frame of the worker protocol as a list of buffers for `writev`. */
import { writeText } from './text.ts'

/**
 * Bytes of the memory that frames share. A frame with a small payload does not fit into Node's own
 * pool, and an allocation of its own would cost more than the rest of the encoding.
 */
const SLAB_BYTES = 64 * 1024
/** Each frame starts at a multiple of this, as buffers of Node's pool do. */
const ALIGNMENT = 8
const INT_BYTES = 4
/** UTF-8 needs at most three bytes for each UTF-16 unit of a string. */
const MAX_BYTES_PER_UNIT = 3
/** For longer texts it is cheaper to count the bytes than to reserve three bytes per unit. */
const COUNT_FROM_UNITS = 512

/**
 * Bytes. A payload up to this size is copied into the frame, which is cheaper than one more buffer
 * in the `writev`.
 */
const MAX_COPIED_BYTES = 8192

/** Memory that frames share, one after the other, and the bytes of it that are used. */
let slab = Buffer.alloc(0)
let used = 0

/** Writes the fields of one frame, in their order. */
export class FrameWriter {
  readonly #parts: Buffer[] = []
  #buffer: Buffer
  /** Start of the bytes that are not yet in {@link #parts}. */
  #start: number
  #position: number

  constructor() {
    if (used === slab.length) startSlab(SLAB_BYTES)
    this.#buffer = slab
    this.#start = used
    this.#position = used
    // The rest belongs to this frame until it is finished.
    used = slab.length
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#position = this.#buffer.writeUInt8(value, this.#position)
  }

  /** A signed 32-bit big-endian integer. */
  int(value: number): void {
    this.#reserve(INT_BYTES)
    this.#position = this.#buffer.writeInt32BE(value, this.#position)
  }

  /**
   * Writes the length in bytes, then UTF-8. The length is filled in afterwards, so the text is
   * encoded in one pass.
   */
  text(text: string): void {
    const most =
      text.length < COUNT_FROM_UNITS ? text.length * MAX_BYTES_PER_UNIT : Buffer.byteLength(text)
    this.#reserve(INT_BYTES + most)
    const start = this.#position + INT_BYTES
    const length = writeText(this.#buffer, text, start)
    this.#buffer.writeInt32BE(length, this.#position)
    this.#position = start + length
  }

  /**
   * Writes the length, then the bytes. A small payload is copied; a large one becomes its own part.
   */
  payload(value: Buffer): void {
    this.int(value.length)
    if (value.length <= MAX_COPIED_BYTES) {
      this.#reserve(value.length)
      this.#buffer.set(value, this.#position)
      this.#position += value.length
      return
    }
    this.#flush()
    this.#parts.push(value)
  }

  finish(): Buffer[] {
    this.#flush()
    if (this.#buffer === slab) {
      const end = Math.ceil(this.#position / ALIGNMENT) * ALIGNMENT
      used = Math.min(end, slab.length)
    }
    return this.#parts
  }

  #flush(): void {
    if (this.#position > this.#start) {
      this.#parts.push(this.#buffer.subarray(this.#start, this.#position))
    }
    this.#start = this.#position
  }

  /** Finished parts keep the old buffer; only the bytes after them are copied. */
  #reserve(bytes: number): void {
    if (this.#buffer.length - this.#position >= bytes) return
    const pending = this.#position - this.#start
    startSlab(Math.max(SLAB_BYTES, (pending + bytes) * 2))
    this.#buffer.copy(slab, 0, this.#start, this.#position)
    this.#buffer = slab
    this.#start = 0
    this.#position = pending
    used = slab.length
  }
}

function startSlab(bytes: number): void {
  slab = Buffer.allocUnsafeSlow(bytes)
  used = 0
}
