import { numberToHalf } from '../tensors/half.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { MAX_EXACT_DIGITS, nearestDouble, nearestSingle } from './decimal.ts'
import { ElementSink } from './element-sink.ts'
import { isDigit, readExponent } from './number-scanner.ts'
import type { JsonReader } from './reader.ts'

const MINUS = 0x2d
const COMMA = 0x2c
const DOT = 0x2e
const ZERO = 0x30
const UPPER_E = 0x45
const LOWER_E = 0x65
/** More digits than a float32 needs slow its reading down. */
const SINGLE_DIGITS = 12
/** With those before them more than the 17 that tell doubles apart. */
const TAIL_DIGITS = 4

/** Magnitudes from which a datatype has only infinity. */
export const OVERFLOW = { FP16: 65_520, FP32: 2 ** 128 - 2 ** 103, FP64: Number.POSITIVE_INFINITY }

/**
 * FP16, FP32 and FP64. Takes `NaN` (also as `null`) and `±Infinity` in words, and refuses a number
 * in digits that its datatype could only hold as an infinity.
 */
export class FloatSink extends ElementSink {
  protected override readonly datatype: 'FP16' | 'FP32' | 'FP64'
  #data: Float32Array | Float64Array

  constructor(input: string, datatype: 'FP16' | 'FP32' | 'FP64', room: number) {
    super(input)
    this.datatype = datatype
    this.#data = datatype === 'FP32' ? new Float32Array(room) : new Float64Array(room)
  }

  toTensor(shape: readonly number[]): Tensor {
    const data = this.#data.subarray(0, this.length)
    if (this.datatype !== 'FP16') return { datatype: this.datatype, shape, data }
    return { datatype: 'FP16', shape, data: Uint16Array.from(data, numberToHalf) }
  }

  /**
   * Gathers each number's digits as integers, four at a time, and turns them into a value by arithmetic. One function
   * with everything in locals: this loop is where a JSON request spends its time, and it is twice as fast as a
   * call for each number.
   */
  read(reader: JsonReader, isRow: boolean): void {
    const { bytes, view } = reader
    const lastFour = bytes.length - 4
    const isSingle = this.datatype === 'FP32'
    const overflow = OVERFLOW[this.datatype]
    const mostDigits = isSingle ? SINGLE_DIGITS : MAX_EXACT_DIGITS
    let data = this.#data
    let { length } = this
    let at = reader.position
    for (;;) {
      let byte = bytes[at] ?? 0
      while (isSpace(byte)) byte = bytes[++at] ?? 0
      const start = at
      const isNegative = byte === MINUS
      if (isNegative) byte = bytes[++at] ?? 0
      let value: number
      if (!isDigit(byte)) {
        reader.position = start
        this.length = length
        value = this.#readWord(reader)
        at = reader.position
      } else {
        let head = byte - ZERO
        let digits = 1
        let tail = 0
        let tailDigits = 0
        let isCut = false
        let exponent = 0
        byte = bytes[++at] ?? 0
        if (head === 0) {
          digits = 0
          if (isDigit(byte)) throw reader.error('a number must not start with 0', start)
        } else {
          for (; isDigit(byte) && digits < mostDigits; digits++) {
            head = head * 10 + (byte - ZERO)
            byte = bytes[++at] ?? 0
          }
          for (; isDigit(byte); exponent++) {
            isCut = true
            byte = bytes[++at] ?? 0
          }
        }
        if (byte === DOT) {
          byte = bytes[++at] ?? 0
          if (!isDigit(byte)) throw reader.error('a digit must follow the "." of a number', at)
          const first = at
          if (digits === 0) while (byte === ZERO) byte = bytes[++at] ?? 0
          if (!isCut) {
            for (; digits <= mostDigits - 4 && at <= lastFour; digits += 4) {
              const four = fourDigits(view.getInt32(at, true))
              if (four < 0) break
              head = head * 10_000 + four
              at += 4
            }
            byte = bytes[at] ?? 0
            for (; digits < mostDigits && isDigit(byte); digits++) {
              head = head * 10 + (byte - ZERO)
              byte = bytes[++at] ?? 0
            }
            for (; !isSingle && tailDigits < TAIL_DIGITS && isDigit(byte); tailDigits++) {
              tail = tail * 10 + (byte - ZERO)
              byte = bytes[++at] ?? 0
            }
            exponent -= at - first
          }
          if (isDigit(byte)) {
            isCut = true
            while (at <= lastFour && fourDigits(view.getInt32(at, true)) >= 0) at += 4
            byte = bytes[at] ?? 0
            while (isDigit(byte)) byte = bytes[++at] ?? 0
          }
        }
        if (byte === LOWER_E || byte === UPPER_E) {
          reader.position = at + 1
          exponent += readExponent(reader)
          at = reader.position
        }
        value = isSingle
          ? nearestSingle(head, isCut, exponent)
          : nearestDouble(head, tail, tailDigits, isCut, exponent)
        if (Number.isNaN(value)) value = Math.abs(Number(bytes.toString('latin1', start, at)))
        if (value >= overflow) {
          this.length = length
          throw this.outOfRange(reader, start)
        }
        if (isNegative) value = -value
      }
      if (length === data.length) data = this.#grow()
      data[length++] = value
      if (!isRow) break
      byte = bytes[at] ?? 0
      while (isSpace(byte)) byte = bytes[++at] ?? 0
      if (byte !== COMMA) break
      at++
    }
    reader.position = at
    this.length = length
  }

  #readWord(reader: JsonReader): number {
    // JSON has no other word for a number that is missing.
    if (reader.take('NaN') || reader.take('null')) return Number.NaN
    if (reader.take('Infinity')) return Number.POSITIVE_INFINITY
    if (reader.take('-Infinity')) return Number.NEGATIVE_INFINITY
    throw this.unexpected(reader, 'a number')
  }

  #grow(): Float32Array | Float64Array {
    const room = Math.max(256, this.#data.length * 2)
    const grown = this.datatype === 'FP32' ? new Float32Array(room) : new Float64Array(room)
    grown.set(this.#data)
    this.#data = grown
    return grown
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** The number that four characters, the first in the lowest byte, stand for; -1 when one of them is no digit. */
function fourDigits(characters: number): number {
  const digits = characters ^ 0x30303030
  if ((((digits + 0x76767676) | digits) & 0x80808080) !== 0) return -1
  const pairs = (Math.imul(digits, 10 * 2 ** 8 + 1) >>> 8) & 0x00ff00ff
  return Math.imul(pairs, 100 * 2 ** 16 + 1) >>> 16
}
