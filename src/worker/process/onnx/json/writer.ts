import { ServerError } from '../../../../errors.ts'
import { elementToText } from '../tensors/byte-strings.ts'
import { quote } from '../tensors/error-text.ts'
import { halfToNumber } from '../tensors/half.ts'
import { elementCount } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'
import {
  MAX_NUMBER_BYTES,
  writeAscii,
  writeDouble,
  writeInteger,
  writeSingle,
} from './number-writer.ts'

const COMMA = 0x2c
const OPEN = 0x5b
const CLOSE = 0x5d
const FIRST_ROOM = 1024

/** Writes a JSON response into one growing buffer, without intermediate strings for numbers. */
export class JsonWriter {
  readonly #maxBytes: number
  #bytes: Buffer
  #length = 0

  /** @param expected Estimated final size, bytes. */
  constructor(maxBytes: number, expected = FIRST_ROOM) {
    this.#maxBytes = maxBytes
    this.#bytes = Buffer.allocUnsafe(Math.min(expected, maxBytes))
  }

  /**
   * Returns everything that was written. The writer must not be used afterwards.
   * @throws ServerError 507 (like all methods) when the size exceeds the limit.
   */
  finish(): Buffer {
    if (this.#length > this.#maxBytes) throw responseTooLarge(this.#maxBytes)
    return this.#bytes.subarray(0, this.#length)
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  /** Writes text that consists of single-byte characters. */
  ascii(text: string): this {
    this.#reserve(text.length)
    this.#length = writeAscii(this.#bytes, this.#length, text)
    return this
  }

  string(text: string): this {
    return this.json(JSON.stringify(text))
  }

  /** Writes text that is JSON already. */
  json(json: string): this {
    const size = Buffer.byteLength(json)
    this.#reserve(size)
    this.#length += this.#bytes.write(json, this.#length, 'utf8')
    return this
  }

  /** Writes one element. */
  element(tensor: Tensor, name: string, index: number): this {
    this.#elements(tensor, name, index, index + 1)
    return this
  }

  /** Writes the elements as one flat array. */
  flat(tensor: Tensor, name: string): this {
    this.#byte(OPEN)
    this.#elements(tensor, name, 0, tensor.data.length)
    return this.#byte(CLOSE)
  }

  /**
   * Reserves `size` bytes for binary data; `write` fills all of them, starting at the given offset
   * of the buffer.
   */
  binary(size: number, write: (bytes: Buffer, at: number) => void): this {
    this.#reserve(size)
    write(this.#bytes, this.#length)
    this.#length += size
    return this
  }

  /**
   * Writes the elements as nested arrays; a scalar is written alone. Nesting ends at a dimension of
   * 0.
   */
  nested(tensor: Tensor, name: string): this {
    const { shape } = tensor
    const emptyAt = shape.indexOf(0)
    const outer = emptyAt < 0 ? shape.slice(0, -1) : shape.slice(0, emptyAt)
    const rowLength = emptyAt < 0 ? (shape.at(-1) ?? 1) : 0
    const rows = elementCount(outer)
    const hasRows = shape.length > 0
    for (let row = 0; row < rows; row++) {
      if (row > 0) this.#byte(COMMA)
      for (let edges = edgesAt(outer, row); edges > 0; edges--) this.#byte(OPEN)
      if (hasRows) this.#byte(OPEN)
      this.#elements(tensor, name, row * rowLength, (row + 1) * rowLength)
      if (hasRows) this.#byte(CLOSE)
      for (let edges = edgesAt(outer, row + 1); edges > 0; edges--) this.#byte(CLOSE)
    }
    return this
  }

  #elements(tensor: Tensor, name: string, from: number, to: number): void {
    if (tensor.datatype === 'BYTES') return this.#texts(tensor.data, name, from, to)
    const { data, datatype } = tensor
    const write =
      datatype === 'FP32' ? writeSingle : datatype === 'FP64' ? writeDouble : writeInteger
    for (let index = from; index < to; index++) {
      this.#reserve(MAX_NUMBER_BYTES)
      if (index > from) this.#bytes[this.#length++] = COMMA
      const value = data[index] ?? 0
      if (typeof value === 'bigint')
        this.#length = writeAscii(this.#bytes, this.#length, String(value))
      else if (datatype === 'BOOL')
        this.#length = writeAscii(this.#bytes, this.#length, value ? 'true' : 'false')
      else if (datatype === 'FP16')
        this.#length = writeSingle(this.#bytes, this.#length, halfToNumber(value))
      else this.#length = write(this.#bytes, this.#length, value)
    }
  }

  #texts(data: readonly string[], name: string, from: number, to: number): void {
    for (let index = from; index < to; index++) {
      if (index > from) this.#byte(COMMA)
      const text = elementToText(data[index] ?? '')
      if (text === undefined) {
        throw new ServerError(
          'InvalidInputException',
          `Output ${quote(name)}, element ${index}: the bytes are not valid UTF-8, so JSON cannot represent them. Request binary data through the Open Inference Protocol.`,
        )
      }
      this.string(text)
    }
  }

  #byte(byte: number): this {
    this.#reserve(1)
    this.#bytes[this.#length++] = byte
    return this
  }

  #reserve(size: number): void {
    const needed = this.#length + size
    if (needed > this.#bytes.length) this.#grow(needed)
  }

  #grow(needed: number): void {
    if (needed > this.#maxBytes + MAX_NUMBER_BYTES) throw responseTooLarge(this.#maxBytes)
    const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, needed, FIRST_ROOM))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
  }
}

/** Number of outer dimensions that begin at a row. The same number ends there. */
function edgesAt(outer: readonly number[], row: number): number {
  let edges = 0
  let size = 1
  for (let axis = outer.length - 1; axis >= 0; axis--, edges++) {
    size *= outer[axis] ?? 1
    if (row % size !== 0) break
  }
  return edges
}

/** Error 507: the response exceeds the configured limit. */
export function responseTooLarge(maxBytes: number): ServerError {
  return new ServerError(
    'InsufficientMemoryException',
    `The response is larger than the limit of ${maxBytes} bytes.`,
  )
}
