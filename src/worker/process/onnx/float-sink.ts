import { ElementSink } from './element-sink.ts'
import { numberToHalf } from './half.ts'
import { isDigit, readExponent } from './json-number.ts'
import type { JsonReader } from './json-reader.ts'
import type { Tensor } from './tensor.ts'

const MINUS = 0x2d
const COMMA = 0x2c
const DOT = 0x2e
const ZERO = 0x30
const UPPER_E = 0x45
const LOWER_E = 0x65
/** As many digits fit a double exactly, and powers of ten up to this exponent do. */
const MAX_EXACT_DIGITS = 15
const MAX_EXACT_EXPONENT = 22
const POWERS_OF_TEN = Float64Array.from({ length: MAX_EXACT_EXPONENT + 1 }, (_, n) =>
  Number(`1e${n}`),
)
/** More than the relative error of three roundings. */
const SCALE_ERROR = 1e-15

/** Magnitudes from which a datatype has only infinity. */
const OVERFLOW = { FP16: 65_520, FP32: 2 ** 128 - 2 ** 103, FP64: Number.POSITIVE_INFINITY }

/**
 * FP16, FP32 and FP64. Takes `NaN` and `±Infinity` in words, and refuses a number in digits that its
 * datatype could only hold as an infinity.
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
   * Gathers each number's digits as one integer: with at most 15 of them and an exponent within ±22, one
   * multiplication or division gives the correctly rounded value. One function with everything in locals:
   * this loop is where a JSON request spends its time, and it is twice as fast as a call for each number.
   */
  read(reader: JsonReader, isRow: boolean): void {
    const { bytes } = reader
    const overflow = OVERFLOW[this.datatype]
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
        let mantissa = byte - ZERO
        let digits = 1
        let exponent = 0
        byte = bytes[++at] ?? 0
        if (mantissa === 0) {
          digits = 0
          if (isDigit(byte)) throw reader.error('a number must not start with 0', start)
        } else {
          for (; isDigit(byte); digits++) {
            if (digits < MAX_EXACT_DIGITS) mantissa = mantissa * 10 + (byte - ZERO)
            else exponent++
            byte = bytes[++at] ?? 0
          }
        }
        if (byte === DOT) {
          byte = bytes[++at] ?? 0
          if (!isDigit(byte)) throw reader.error('a digit must follow the "." of a number', at)
          let first = at
          if (digits === 0) while (byte === ZERO) byte = bytes[++at] ?? 0
          exponent -= at - first
          first = at
          const last = at + MAX_EXACT_DIGITS - digits
          while (at < last && isDigit(byte)) {
            mantissa = mantissa * 10 + (byte - ZERO)
            byte = bytes[++at] ?? 0
          }
          exponent -= Math.max(0, at - first)
          while (isDigit(byte)) byte = bytes[++at] ?? 0
          digits += at - first
        }
        if (byte === LOWER_E || byte === UPPER_E) {
          reader.position = at + 1
          exponent += readExponent(reader)
          at = reader.position
        }
        value = this.#value(mantissa, digits, exponent)
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

  /** NaN when the digits gathered do not settle the value. */
  #value(mantissa: number, digits: number, exponent: number): number {
    if (mantissa === 0) return 0
    const isCut = digits > MAX_EXACT_DIGITS
    const isExact = !isCut && exponent >= -MAX_EXACT_EXPONENT && exponent <= MAX_EXACT_EXPONENT
    if (isExact) return scale(mantissa, exponent)
    if (this.datatype !== 'FP32' || exponent > MAX_EXACT_EXPONENT) return Number.NaN
    if (exponent < -2 * MAX_EXACT_EXPONENT) return Number.NaN
    // The value lies between these two, and rounding keeps the order: equal float32 neighbours settle it.
    const least = scale(mantissa, exponent) * (1 - SCALE_ERROR)
    const most = scale(isCut ? mantissa + 1 : mantissa, exponent) * (1 + SCALE_ERROR)
    return Math.fround(least) === Math.fround(most) ? least : Number.NaN
  }

  #readWord(reader: JsonReader): number {
    if (reader.take('NaN')) return Number.NaN
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

/** Exact for exponents within ±22; down to -44 within {@link SCALE_ERROR}. */
function scale(mantissa: number, exponent: number): number {
  if (exponent >= 0) return mantissa * (POWERS_OF_TEN[exponent] ?? 1)
  if (exponent >= -MAX_EXACT_EXPONENT) return mantissa / (POWERS_OF_TEN[-exponent] ?? 1)
  return mantissa / 1e22 / (POWERS_OF_TEN[-exponent - MAX_EXACT_EXPONENT] ?? 1)
}
