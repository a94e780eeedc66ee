/** Builds one frame of the worker protocol as a list of buffers for `writev`. */
import { writeText } from './text.ts'

/** Holds the fields of a usual frame, and comes out of Node's buffer pool. */
const FIRST_BYTES = 1024
const INT_BYTES = 4
/** UTF-8 takes at most three bytes for each UTF-16 unit of a string. */
const MAX_BYTES_PER_UNIT = 3
/** Above this it is cheaper to count the bytes than to reserve three times too much. */
const COUNT_FROM_UNITS = 512

/** A payload up to this size is copied into the frame: cheaper than a part of its own in the `writev`. */
const MAX_COPIED_BYTES = 8192

/** Writes the fields of one frame, in their order. */
export class FrameWriter {
  readonly #parts: Buffer[] = []
  #buffer = Buffer.allocUnsafe(FIRST_BYTES)
  /** Start of what is not yet in {@link #parts}. */
  #start = 0
  #position = 0

  byte(value: number): void {
    this.#reserve(1)
    this.#position = this.#buffer.writeUInt8(value, this.#position)
  }

  /** A signed 32-bit big-endian integer. */
  int(value: number): void {
    this.#reserve(INT_BYTES)
    this.#position = this.#buffer.writeInt32BE(value, this.#position)
  }

  /** Length in bytes, then UTF-8. One pass: the length is written once the bytes are. */
  text(text: string): void {
    const most =
      text.length < COUNT_FROM_UNITS ? text.length * MAX_BYTES_PER_UNIT : Buffer.byteLength(text)
    this.#reserve(INT_BYTES + most)
    const start = this.#position + INT_BYTES
    const length = writeText(this.#buffer, text, start)
    this.#buffer.writeInt32BE(length, this.#position)
    this.#position = start + length
  }

  /** Length, then the bytes: the buffer itself as a part of its own, unless it is small. */
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
    return this.#parts
  }

  #flush(): void {
    if (this.#position > this.#start) {
      this.#parts.push(this.#buffer.subarray(this.#start, this.#position))
    }
    this.#start = this.#position
  }

  /** Parts that are out keep the old buffer; only the bytes behind them move. */
  #reserve(bytes: number): void {
    if (this.#buffer.length - this.#position >= bytes) return
    const pending = this.#position - this.#start
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length, pending + bytes) * 2)
    this.#buffer.copy(larger, 0, this.#start, this.#position)
    this.#buffer = larger
    this.#start = 0
    this.#position = pending
  }
}
