import { OVERFLOW } from '../json/float-sink.ts'
import { textToElement } from '../tensors/byte-strings.ts'
import { quote } from '../tensors/error-text.ts'
import { numberToHalf } from '../tensors/half.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { fitsShape, shapeError } from '../tensors/shape.ts'
import { allocateData, bytesOfData } from '../tensors/tensor.ts'
import type { NumericData, Tensor } from '../tensors/tensor.ts'
import { classify, infinityOf, narrowInteger, wideInteger } from './cell-values.ts'
import { decimalAdvice } from './csv-text.ts'

const FIRST_ROWS = 16

/**
 * The elements of one input, filled cell by cell. The methods that set a cell return its problem,
 * if it has one.
 */
export class ElementStore {
  readonly #spec: TensorSpec
  readonly #width: number
  #numbers: NumericData | undefined
  readonly #texts: string[] = []

  /** @param width Number of elements in each row. */
  constructor(spec: TensorSpec, width: number) {
    this.#spec = spec
    this.#width = width
    if (spec.datatype !== 'BYTES') this.#numbers = allocateData(spec.datatype, FIRST_ROWS * width)
  }

  /** Makes room for one more row. */
  reserve(row: number): void {
    const { datatype } = this.#spec
    const data = this.#numbers
    if (data === undefined || datatype === 'BYTES') return
    const needed = (row + 1) * this.#width
    if (needed <= data.length) return
    const grown = allocateData(datatype, Math.max(needed, 2 * data.length))
    bytesOfData(grown).set(bytesOfData(data))
    this.#numbers = grown
  }

  /** Sets a cell from text without a type, as in CSV. */
  cell(row: number, offset: number, text: string): string | undefined {
    if (this.#spec.datatype === 'BYTES') {
      return text === '' ? this.missing(row, offset) : this.text(row, offset, text)
    }
    const trimmed = text.trim()
    const value = classify(trimmed)
    if (value === 'number' || value === 'infinity') return this.number(row, offset, trimmed, value)
    if (value === 'missing') return this.missing(row, offset)
    return value === 'other' ? this.#refuse(text) : this.boolean(row, offset, value)
  }

  /** Sets a cell from a string of JSON, which only an input of strings takes. */
  text(row: number, offset: number, text: string): string | undefined {
    if (this.#spec.datatype !== 'BYTES') return this.#refuse(text)
    this.#texts[row * this.#width + offset] = textToElement(text)
    return undefined
  }

  boolean(row: number, offset: number, value: boolean): string | undefined {
    return this.number(row, offset, value ? '1' : '0', 'number', String(value))
  }

  missing(row: number, offset: number): string | undefined {
    const { datatype } = this.#spec
    const at = row * this.#width + offset
    if (datatype === 'FP32' || datatype === 'FP64') this.#put(at, Number.NaN)
    else if (datatype === 'FP16') this.#put(at, numberToHalf(Number.NaN))
    else return `the value is missing, and only float columns may have missing values (${datatype})`
    return undefined
  }

  /** Sets a cell from a number in binary, in which NaN is a missing value. */
  double(row: number, offset: number, value: number): string | undefined {
    if (Number.isNaN(value)) return this.missing(row, offset)
    return this.number(row, offset, String(value), Number.isFinite(value) ? 'number' : 'infinity')
  }

  /**
   * Sets a cell from a number in digits, or an infinity. Float columns round to double first, as
   * pandas and NumPy do.
   */
  number(
    row: number,
    offset: number,
    text: string,
    kind: 'number' | 'infinity',
    shown = text,
  ): string | undefined {
    const { datatype } = this.#spec
    const at = row * this.#width + offset
    const value = kind === 'infinity' ? infinityOf(text) : Number(text)
    switch (datatype) {
      case 'FP16':
      case 'FP32':
      case 'FP64':
        if (kind === 'number' && Math.abs(value) >= OVERFLOW[datatype]) {
          return `${quote(shown)} is out of range for ${datatype}`
        }
        return this.#put(at, datatype === 'FP16' ? numberToHalf(value) : value)
      case 'INT64':
      case 'UINT64': {
        if (kind === 'infinity') return this.#refuse(shown)
        const wide = wideInteger(text, datatype)
        if (typeof wide === 'string') return `${quote(shown)} ${wide} (${datatype})`
        return this.#put(at, wide)
      }
      case 'BOOL':
        if (value !== 0 && value !== 1) return `${quote(shown)} is not true, false, 1 or 0`
        return this.#put(at, value)
      case 'BYTES':
        return `${quote(shown)} is not a text; send it in double quotes`
      case 'UINT8':
      case 'UINT16':
      case 'UINT32':
      case 'INT8':
      case 'INT16':
      case 'INT32': {
        if (kind === 'infinity') return this.#refuse(shown)
        const narrow = narrowInteger(text, datatype)
        if (typeof narrow === 'string') return `${quote(shown)} ${narrow} (${datatype})`
        return this.#put(at, narrow)
      }
    }
  }

  /**
   * Returns the tensor of the first `rows` rows.
   * @throws ServerError 400 when the model fixes another number of rows
   */
  toTensor(rows: number): Tensor {
    const { datatype } = this.#spec
    const shape = this.shapeOf(rows)
    const count = rows * this.#width
    if (datatype === 'BYTES' || this.#numbers === undefined) {
      return { datatype: 'BYTES', shape, data: this.#texts }
    }
    return { datatype, shape, data: this.#numbers.subarray(0, count) }
  }

  /**
   * Returns the shape of a tensor with `rows` rows.
   * @throws ServerError 400 when the model fixes another number of rows
   */
  shapeOf(rows: number): readonly number[] {
    const { shape, anyShape } = this.#spec
    const own =
      anyShape === true
        ? [rows, this.#width]
        : [rows, ...shape.slice(1).map((size) => (size < 0 ? this.#width : size))]
    if (!fitsShape(this.#spec, own)) throw shapeError(this.#spec, own)
    return own
  }

  #put(at: number, value: number | bigint): undefined {
    const data = this.#numbers
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[at] = BigInt(value)
    else if (data !== undefined) data[at] = Number(value)
  }

  #refuse(text: string): string {
    const { datatype } = this.#spec
    if (datatype === 'BOOL') return `${quote(text)} is not true, false, 1 or 0`
    return `${quote(text)} is not ${this.#expected()}${decimalAdvice(text)}`
  }

  #expected(): string {
    const { datatype } = this.#spec
    return datatype.startsWith('FP') ? `a number (${datatype})` : `a whole number (${datatype})`
  }
}
