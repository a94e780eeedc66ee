/**
 * Reads the fields of the worker protocol from a stream of chunks.
 *
 * Each field has two readers. `take…` returns the value from the current chunk. It returns
 * `undefined` and consumes nothing when the field is not complete there. `wait…` is a generator
 * that yields until further chunks have completed the field. So `take() ?? (yield* wait())` usually
 * costs one plain call; a generator for each field would double the time of a small frame.
 */
import { ProtocolError } from '../../errors.ts'
import type { WireLimits } from './messages.ts'
import { decodeText, TextWindow } from './text.ts'

/** A reader that yields whenever it needs the next chunk. */
export type Reading<T> = Generator<undefined, T, undefined>

/**
 * How to read a negative length: as an empty value, as MMS's worker does, or as a protocol error.
 */
export type NegativeLength = 'empty' | 'refused'

const EMPTY = Buffer.alloc(0)
const INT_BYTES = 4

/**
 * A value that spans several chunks is copied into a buffer of at most this many bytes. When it is
 * full, it grows by {@link GATHER_GROWTH}, up to the declared length. So a declared length that is
 * never sent costs at most this much, and memory stays within a multiple of the received bytes. A
 * usual body is allocated once; of a body of 60 MB about a seventh is copied twice, which cannot be
 * measured against one copy.
 */
const GATHER_FIRST_BYTES = 1024 * 1024
const GATHER_GROWTH = 8

/** How chunks may be used, and where large values are copied to. */
export interface ChunkOptions {
  /** True when the caller writes to the chunk's memory again, so no value may be a view of it. */
  readonly isReused?: boolean
  /** Allocates at least this many bytes for a value that is copied. */
  readonly allocate?: (bytes: number) => Buffer
}

/**
 * Reads the fields of one connection. Every length and count is checked before memory is allocated.
 * All readers throw a ProtocolError when a length or count is above its limit or a text is not
 * UTF-8.
 */
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

  /** Sets the next chunk. The previous chunk must have been read to its end. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk
    this.#position = 0
    this.#texts.reset(chunk)
  }

  /** Drops the chunk, so that an idle connection keeps no memory alive. */
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

  /** The UTF-8 text after a length that was already read. */
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

  /** A length and that many bytes, as a view of the chunk (or a copy, if the chunk is reused). */
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
    // If the length ended a chunk, the whole value may lie in the next one.
    if (length > 0 && this.remaining === 0) yield
    return this.remaining >= length ? this.#view(length) : yield* this.#gather(length)
  }

  /**
   * Checks the size of a list, before an element is added or memory is allocated for its count.
   * @throws ProtocolError when the list is too long.
   */
  checkCount(count: number): void {
    if (count < 0 || count > this.#limits.maxCount) {
      throw new ProtocolError(
        `a list of ${count} elements exceeds the limit of ${this.#limits.maxCount}`,
      )
    }
  }

  #checkLength(declared: number, limit: number): number {
    if (declared < 0) {
      if (this.#negativeLength === 'empty') return 0
      throw new ProtocolError(`negative length ${declared}`)
    }
    if (declared > limit) {
      throw new ProtocolError(`a length of ${declared} bytes exceeds the limit of ${limit}`)
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

  /**
   * Copies `length` bytes of this and the following chunks into one buffer. The memory behind the
   * buffer may be larger.
   */
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

  /**
   * Copies bytes of the chunk into `target` from `offset` on, until one of them ends; returns the
   * number of bytes.
   */
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
