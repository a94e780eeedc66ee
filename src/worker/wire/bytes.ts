/**
 * The bytes of a stream as fields of the worker protocol, whatever chunks they come in.
 *
 * Each field has two readers. `take…` answers at once from the current chunk, or `undefined` when the
 * field is not complete in it, and then has consumed nothing. `wait…` is a generator that yields until
 * further chunks have completed the field. `take() ?? (yield* wait())` so costs a plain call in the
 * usual case; a generator for each field would double the time of a small frame.
 */
import { ProtocolError } from '../../errors.ts'
import type { WireLimits } from './messages.ts'
import { decodeText, TextWindow } from './text.ts'

/** A reader that yields whenever it needs the next chunk. */
export type Reading<T> = Generator<undefined, T, undefined>

/** What a negative length means: nothing at all, as the original worker reads it, or a violation. */
export type NegativeLength = 'empty' | 'refused'

const EMPTY = Buffer.alloc(0)
const INT_BYTES = 4

/**
 * A value that spans chunks starts in a buffer of at most this size, and the buffer grows by
 * {@link GATHER_GROWTH}, up to the declared size, only once it is full. So a declared length that is
 * never sent costs at most this much, and memory stays within a multiple of what has come. A usual
 * body is allocated once; of 60 MB, a seventh is copied twice, which is within the noise of one copy.
 */
const GATHER_FIRST_BYTES = 1024 * 1024
const GATHER_GROWTH = 8

/** What becomes of the chunks, and where large values go. */
export interface ChunkOptions {
  /** The chunk's memory is written to again, so that nothing may be a view of it. */
  readonly isReused?: boolean
  /** Room for at least so many bytes of a value that is copied. */
  readonly allocate?: (bytes: number) => Buffer
}

/** Reads the fields of one connection; checks every length and count before anything is allocated. */
export class ByteSource {
  readonly #limits: WireLimits
  readonly #negativeLength: NegativeLength
  readonly #isReused: boolean
  readonly #allocate: (bytes: number) => Buffer
  readonly #texts = new TextWindow()
  #chunk: Buffer = EMPTY
  #position = 0

  constructor(limits: WireLimits, negativeLength: NegativeLength, chunks: ChunkOptions = {}) {
    this.#limits = limits
    this.#negativeLength = negativeLength
    this.#isReused = chunks.isReused ?? false
    this.#allocate = chunks.allocate ?? ((bytes) => Buffer.allocUnsafeSlow(bytes))
  }

  /** Bytes of the current chunk that are not read yet. */
  get remaining(): number {
    return this.#chunk.length - this.#position
  }

  /** Sets the next chunk. The one before must have been read to its end. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk
    this.#position = 0
    this.#texts.reset(chunk)
  }

  /** Lets go of the chunk, so that an idle connection keeps no memory alive. */
  release(): void {
    this.feed(EMPTY)
  }

  takeByte(): number | undefined {
    return this.remaining < 1 ? undefined : this.#chunk[this.#position++]
  }

  *waitByte(): Reading<number> {
    for (;;) {
      const byte = this.takeByte()
      if (byte !== undefined) return byte
      yield
    }
  }

  /** A signed 32-bit big-endian integer. */
  takeInt(): number | undefined {
    if (this.remaining < INT_BYTES) return undefined
    const value = this.#chunk.readInt32BE(this.#position)
    this.#position += INT_BYTES
    return value
  }

  *waitInt(): Reading<number> {
    let value = 0
    for (let read = 0; read < INT_BYTES; read++) {
      value = (value << 8) | (yield* this.waitByte())
    }
    return value
  }

  /** A length and that many bytes of UTF-8. */
  takeString(): string | undefined {
    if (this.remaining < INT_BYTES) return undefined
    const start = this.#position
    const text = this.takeText(this.takeInt() ?? 0)
    if (text === undefined) this.#position = start
    return text
  }

  *waitString(): Reading<string> {
    return yield* this.waitText(yield* this.waitInt())
  }

  /** The UTF-8 behind a length that has been read. */
  takeText(declared: number): string | undefined {
    const length = this.#checkLength(declared, this.#limits.maxTextBytes)
    if (this.remaining < length) return undefined
    const start = this.#position
    this.#position += length
    return this.#texts.read(start, this.#position)
  }

  *waitText(declared: number): Reading<string> {
    const length = this.#checkLength(declared, this.#limits.maxTextBytes)
    return decodeText(yield* this.#gather(length), 0, length)
  }

  /** A length and that many bytes, as a view of the chunk. */
  takeValue(): Buffer | undefined {
    if (this.remaining < INT_BYTES) return undefined
    const start = this.#position
    const length = this.#checkLength(this.takeInt() ?? 0, this.#limits.maxValueBytes)
    if (this.remaining < length) {
      this.#position = start
      return undefined
    }
    return this.#view(length)
  }

  *waitValue(): Reading<Buffer> {
    const length = this.#checkLength(yield* this.waitInt(), this.#limits.maxValueBytes)
    // The length may have ended a chunk and the whole value lie in the next.
    if (length > 0 && this.remaining === 0) yield
    return this.remaining >= length ? this.#view(length) : yield* this.#gather(length)
  }

  /** Refuses the element of a list that is one too many, and a count that announces it. */
  checkCount(count: number): void {
    if (count < 0 || count > this.#limits.maxCount) {
      throw new ProtocolError(
        `A list of ${count} elements; at most ${this.#limits.maxCount} are allowed`,
      )
    }
  }

  #checkLength(declared: number, limit: number): number {
    if (declared < 0) {
      if (this.#negativeLength === 'empty') return 0
      throw new ProtocolError(`A length of ${declared} bytes`)
    }
    if (declared > limit) {
      throw new ProtocolError(`A length of ${declared} bytes; at most ${limit} are allowed`)
    }
    return declared
  }

  #view(length: number): Buffer {
    const start = this.#position
    this.#position += length
    const view = this.#chunk.subarray(start, this.#position)
    if (!this.#isReused) return view
    const copy = this.#allocate(length)
    return copy.subarray(0, view.copy(copy))
  }

  /** Copies `length` bytes of this and the following chunks into one buffer, which may have room for more. */
  *#gather(length: number): Reading<Buffer> {
    let target = this.#allocate(Math.min(length, GATHER_FIRST_BYTES))
    let filled = 0
    for (;;) {
      filled += this.#fill(target.subarray(0, length), filled)
      if (filled === length) return target.length === length ? target : target.subarray(0, length)
      if (filled === target.length) {
        const larger = this.#allocate(Math.min(length, filled * GATHER_GROWTH))
        target.copy(larger)
        target = larger
      } else {
        yield
      }
    }
  }

  /** Moves what fits of the chunk into `target` from `offset` on; returns the number of bytes. */
  #fill(target: Buffer, offset: number): number {
    const start = this.#position
    const moved = this.#chunk.copy(
      target,
      offset,
      start,
      Math.min(this.#chunk.length, start + target.length - offset),
    )
    this.#position += moved
    return moved
  }
}
