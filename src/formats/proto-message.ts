/**
 * Reads a protocol buffer message in memory, field by field and without copies. Messages come from
 * clients: each length is checked against the bytes that are there.
 */
import { isUtf8 } from 'node:buffer'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { ServerError } from '../errors.ts'

/**
 * Maximum number of fields of a message, if its reader sets no other one. Each field costs time,
 * and two bytes are enough for one.
 */
const MAX_FIELDS = 65_536
const MAX_UINT32_BYTES = 5
const MAX_FIELD_NUMBER = 2 ** 29 - 1

/** The current field of a message. Call {@link next} for each field; there is none at first. */
export class MessageReader {
  /** Number of the field. */
  number = 0
  wire: WireType = WireType.Varint
  /** Where the value of the field begins and ends in {@link bytes}. */
  start = 0
  end = 0
  readonly bytes: Buffer
  readonly #reader: BinaryReader
  readonly #maxFields: number
  #fields = 0

  constructor(bytes: Buffer, maxFields = MAX_FIELDS) {
    this.bytes = bytes
    this.#maxFields = maxFields
    this.#reader = new BinaryReader(bytes)
  }

  /**
   * Goes to the next field; returns false at the end of the message.
   * @throws ServerError 400 unless the bytes are a message.
   */
  next(): boolean {
    const reader = this.#reader
    const { length } = this.bytes
    if (this.end >= length) return false
    if (++this.#fields > this.#maxFields)
      throw damaged(`it has more than ${this.#maxFields} fields`)
    reader.pos = this.end
    const tag = this.#uint32()
    this.number = tag >>> 3
    this.wire = tag & 7
    if (this.number === 0 || this.number > MAX_FIELD_NUMBER) throw damaged('a field has no number')
    const size = this.#size()
    this.start = reader.pos
    if (size > length - this.start) throw damaged('it is truncated')
    this.end = this.start + size
    return true
  }

  /** A view of the value of a message, a text or bytes. */
  view(): Buffer {
    if (this.wire !== WireType.LengthDelimited) throw this.#wrongType()
    return this.bytes.subarray(this.start, this.end)
  }

  /** The fields of a message. */
  message(maxFields?: number): MessageReader {
    return new MessageReader(this.view(), maxFields)
  }

  /** A text. */
  text(): string {
    const view = this.view()
    if (isUtf8(view)) return view.toString()
    throw damaged(`the text of field ${this.number} is not UTF-8`)
  }

  /** A boolean. */
  flag(): boolean {
    return this.integer() !== 0n
  }

  /** An integer, signed. */
  integer(): bigint {
    if (this.wire !== WireType.Varint) throw this.#wrongType()
    this.#reader.pos = this.start
    return this.#varint()
  }

  /** A double. */
  double(): number {
    if (this.wire !== WireType.Bit64) throw this.#wrongType()
    return this.bytes.readDoubleLE(this.start)
  }

  /**
   * Integers: one, or a packed list of them.
   * @throws ServerError 400 if they are more than `limit`.
   */
  integers(limit: number): bigint[] {
    if (this.wire !== WireType.LengthDelimited) return [this.integer()]
    const values: bigint[] = []
    this.#reader.pos = this.start
    while (this.#reader.pos < this.end) {
      if (values.length === limit) throw damaged(`field ${this.number} has over ${limit} values`)
      values.push(this.#varint())
    }
    if (this.#reader.pos > this.end) throw damaged('it is truncated')
    return values
  }

  #size(): number {
    switch (this.wire) {
      case WireType.Varint: {
        const { pos } = this.#reader
        this.#varint()
        const size = this.#reader.pos - pos
        this.#reader.pos = pos
        return size
      }
      case WireType.Bit64:
        return 8
      case WireType.LengthDelimited:
        return this.#uint32()
      case WireType.Bit32:
        return 4
      default:
        throw damaged('it has groups, which the protocol does not use')
    }
  }

  /** A tag or a length. More bytes than 32 bits need are read differently by other libraries. */
  #uint32(): number {
    const { pos } = this.#reader
    let value: number
    try {
      value = this.#reader.uint32()
    } catch {
      throw damaged('it is truncated')
    }
    if (this.#reader.pos - pos > MAX_UINT32_BYTES) throw damaged('a length is too long')
    return value
  }

  #varint(): bigint {
    try {
      return BigInt(this.#reader.int64())
    } catch {
      throw damaged('it is truncated')
    }
  }

  #wrongType(): ServerError {
    return damaged(`field ${this.number} has another type`)
  }
}

function damaged(problem: string): ServerError {
  return new ServerError('InvalidInputException', `The request message is not valid: ${problem}.`)
}
