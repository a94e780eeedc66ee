import { ServerError } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'
import type { Datatype, Tensor } from '../tensors/tensor.ts'
import type { JsonReader } from './reader.ts'

const COMMA = 0x2c
/** First bytes of all JSON values, including `NaN` and `Infinity`. */
const VALUE_STARTS = new Set(Buffer.from('"{[tfnNI-0123456789'))

/**
 * Collects the elements of one input from JSON. Memory grows with the elements that are found, not
 * with a declared shape. Each kind of datatype has a subclass with its own loop over a whole row.
 */
export abstract class ElementSink {
  /** Number of elements so far. */
  length = 0
  protected abstract readonly datatype: Datatype
  readonly #input: string

  constructor(input: string) {
    this.#input = input
  }

  /**
   * Reads the element at the reader's position. With `isRow` it also reads the elements that follow
   * after commas.
   */
  abstract read(reader: JsonReader, isRow: boolean): void

  /** Returns all elements in a shape whose product is `length`. */
  abstract toTensor(shape: readonly number[]): Tensor

  /**
   * Builds the error for an element that the datatype cannot hold; `problem` follows the element's
   * text.
   */
  protected refuse(token: string, problem: string): ServerError {
    const place = `Input ${quote(this.#input)}, element ${this.length}`
    return new ServerError('InvalidInputException', `${place}: ${token} ${problem}.`)
  }

  /**
   * Builds the error for a number, starting at `start`, that is too large for the datatype. `range`
   * may contain the valid range.
   */
  protected outOfRange(reader: JsonReader, start: number, range = ''): ServerError {
    reader.position = start
    return this.refuse(reader.token(), `is out of range for ${this.datatype}${range}`)
  }

  /** Builds the error for a value that is not an element of the datatype, or for malformed JSON. */
  protected unexpected(reader: JsonReader, expected: string): ServerError {
    if (!VALUE_STARTS.has(reader.peek())) return reader.unexpected('a value')
    const token = reader.token()
    const hint = token === 'null' ? '; null is only valid in float inputs, where it means NaN' : ''
    return this.refuse(token, `is not ${expected}${hint}`)
  }
}

/** Consumes the comma after an element, if it is there. */
export function takeComma(reader: JsonReader): boolean {
  if (reader.peek() !== COMMA) return false
  reader.position++
  return true
}
