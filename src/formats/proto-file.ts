/**
 * Reads protocol buffers from a file of any size. Fields are found by position, and only requested
 * fields are read, so weights are never loaded into memory.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

/** Bytes per read. The fields of a graph lie close together. */
const WINDOW_BYTES = 64 * 1024
/** A tag and a varint take at most 15 bytes. */
const HEAD_BYTES = 16
/**
 * Maximum number of fields in all messages together, against hostile files. The largest graphs have
 * a tenth of it.
 */
const MAX_FIELDS = 3_000_000

/** The file is not a valid protocol buffer, or exceeds a limit. */
export class ProtoError extends Error {}

/** A byte range of the file. */
export interface Range {
  readonly start: number
  readonly end: number
}

export interface ProtoField extends Range {
  readonly number: number
  /** Where the tag of the field begins; `start` is where its value begins. */
  readonly tagStart: number
  readonly wire: WireType
  /** The value of a varint; 0 for other fields, whose bytes lie from `start` to `end`. */
  readonly value: number
}

/**
 * The value of a varint.
 * @throws ProtoError when the field has another type.
 */
export function numberIn({ wire, value }: ProtoField): number {
  if (wire !== WireType.Varint) throw new ProtoError('the file is damaged')
  return value
}

/**
 * Opens a file and passes it to `read`.
 * @throws ProtoError unless it is a regular file.
 */
export function withProtoFile<T>(path: string, read: (file: ProtoFile) => T): T {
  // Without O_NONBLOCK, opening a FIFO would block forever.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = fstatSync(descriptor)
    if (!found.isFile()) throw new ProtoError('the model is not a regular file')
    return read(new ProtoFile(descriptor, found.size))
  } finally {
    closeSync(descriptor)
  }
}

/** An open file; the caller closes it after reading. */
export class ProtoFile {
  readonly #descriptor: number
  readonly #size: number
  readonly #window: Buffer
  #reader = new BinaryReader(Buffer.alloc(0))
  #windowStart = 0
  #fields = 0

  constructor(descriptor: number, size: number) {
    this.#descriptor = descriptor
    this.#size = size
    this.#window = Buffer.allocUnsafe(Math.min(WINDOW_BYTES, size))
  }

  /** The whole file as one message. */
  get whole(): Range {
    return { start: 0, end: this.#size }
  }

  /**
   * Yields the fields of a message in order.
   * @throws ProtoError
   */
  *fields({ start, end }: Range): Generator<ProtoField> {
    let position = start
    while (position < end) {
      if (++this.#fields > MAX_FIELDS) throw new ProtoError('the file has too many parts')
      const field = this.#fieldAt(position, end)
      yield field
      position = field.end
    }
  }

  /**
   * Returns a copy of a field's bytes.
   * @throws ProtoError when there are more than `limit`.
   */
  bytes({ start, end }: Range, limit: number): Buffer {
    if (end - start > limit) throw new ProtoError('a part of the file is too long')
    const from = start - this.#windowStart
    if (from >= 0 && end - this.#windowStart <= this.#reader.len) {
      return Buffer.from(this.#window.subarray(from, from + end - start))
    }
    const bytes = Buffer.alloc(end - start)
    this.copy({ start, end }, bytes, 0)
    return bytes
  }

  /**
   * Copies a range of the file into `target`.
   * @throws ProtoError when the file is shorter.
   */
  copy({ start, end }: Range, target: Buffer, at: number): void {
    let done = 0
    while (done < end - start) {
      const count = readSync(this.#descriptor, target, at + done, end - start - done, start + done)
      if (count === 0) throw new ProtoError('the file is truncated')
      done += count
    }
  }

  #fieldAt(position: number, end: number): ProtoField {
    this.#moveTo(position, Math.min(end - position, HEAD_BYTES))
    const reader = this.#reader
    try {
      const [number, wire] = reader.tag()
      const value = wire === WireType.Varint ? Number(reader.int64()) : 0
      const length = lengthOf(reader, wire)
      const start = this.#windowStart + reader.pos
      if (reader.pos > reader.len || start + length > end)
        throw new ProtoError('the file is truncated')
      return { number, tagStart: position, wire, value, start, end: start + length }
    } catch (error) {
      throw error instanceof ProtoError
        ? error
        : new ProtoError('the file is damaged', { cause: error })
    }
  }

  /**
   * Moves the reader to a position of the file, with at least `length` bytes in the window if the
   * file has them.
   */
  #moveTo(position: number, length: number): void {
    const isInside =
      position >= this.#windowStart && position + length <= this.#windowStart + this.#reader.len
    if (!isInside) {
      const count = readSync(this.#descriptor, this.#window, 0, this.#window.length, position)
      this.#reader = new BinaryReader(this.#window.subarray(0, count))
      this.#windowStart = position
    }
    this.#reader.pos = position - this.#windowStart
  }
}

function lengthOf(reader: BinaryReader, wire: WireType): number {
  switch (wire) {
    case WireType.Varint:
      return 0
    case WireType.Bit32:
      return 4
    case WireType.Bit64:
      return 8
    case WireType.LengthDelimited:
      return reader.uint32()
    case WireType.StartGroup:
    case WireType.EndGroup:
      throw new ProtoError('the file has groups, which ONNX does not use')
  }
}
