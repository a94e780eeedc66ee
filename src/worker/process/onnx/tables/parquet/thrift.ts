/**
 * Reads the compact protocol of Thrift, in which Parquet has its metadata. Nothing is allocated for
 * a member before it is asked for, so that lists with a wrong length do no harm.
 */
import { damaged } from './damage.ts'

const TRUE = 1
const FALSE = 2
const BYTE = 3
const I16 = 4
const I64 = 6
const DOUBLE = 7
const BINARY = 8
const LIST = 9
const SET = 10
const STRUCT = 12
const DOUBLE_BYTES = 8
/** 64 bits in groups of 7. */
const MAX_VARINT_BYTES = 10
const MAX_DEPTH = 32
const LONG_LIST = 15

/** Reads one member of a struct; what it does not read must be skipped with `skip`. */
export type ReadMember = (id: number, type: number) => void

export class ThriftReader {
  readonly #bytes: Buffer
  #at: number
  #depth = 0

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  get position(): number {
    return this.#at
  }

  /** Calls `read` for each member of a struct. */
  struct(read: ReadMember): void {
    if (++this.#depth > MAX_DEPTH) throw damaged('its metadata is nested too deeply')
    let id = 0
    for (let head = this.#byte(); head !== 0; head = this.#byte()) {
      const delta = head >> 4
      id = delta === 0 ? this.integer() : id + delta
      read(id, head & 15)
    }
    this.#depth--
  }

  /** Calls `read` for each element of a list. */
  list(read: (type: number) => void): void {
    const head = this.#byte()
    const count = head >> 4 === LONG_LIST ? Number(this.#varint()) : head >> 4
    // Every element has at least one byte.
    if (count > this.#bytes.length - this.#at) throw damaged('a list of its metadata is too long')
    for (let index = 0; index < count; index++) read(head & 15)
  }

  /** An integer of up to 64 bits; those above 2^53 are rounded. */
  integer(): number {
    const value = this.#varint()
    return Number((value >> 1n) ^ -(value & 1n))
  }

  binary(): Buffer {
    const length = Number(this.#varint())
    if (length > this.#bytes.length - this.#at) throw damaged('a name of its metadata is cut off')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  skip(type: number, isElement = false): void {
    if (type === TRUE || type === FALSE) this.#at += isElement ? 1 : 0
    else if (type === BYTE) this.#at++
    else if (type >= I16 && type <= I64) this.#varint()
    else if (type === DOUBLE) this.#at += DOUBLE_BYTES
    else if (type === BINARY) this.binary()
    else if (type === STRUCT) this.struct((_id, member) => this.skip(member))
    else if (type === LIST || type === SET) {
      if (++this.#depth > MAX_DEPTH) throw damaged('its metadata is nested too deeply')
      this.list((element) => this.skip(element, true))
      this.#depth--
    } else throw damaged('its metadata has an unknown type')
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw damaged('its metadata is cut off')
    return byte
  }

  #varint(): bigint {
    let value = 0n
    for (let index = 0; index < MAX_VARINT_BYTES; index++) {
      const byte = this.#byte()
      value |= BigInt(byte & 0x7f) << BigInt(7 * index)
      if (byte < 0x80) return value
    }
    throw damaged('its metadata has a number of more than 64 bits')
  }
}
