import { ServerError } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'
import type { Datatype, Tensor } from '../tensors/tensor.ts'
import type { JsonReader } from './reader.ts'

const COMMA = 0x2c
/** First bytes of every JSON value, `NaN` and `Infinity` included. */
const VALUE_STARTS = new Set(Buffer.from('"{[tfnNI-0123456789'))

/**
 * Takes the elements of one input out of JSON. Room grows with the elements found, never with a shape that
 * was only announced. One subclass for each kind of datatype, each with a loop over a whole row of its own.
 */
export abstract class ElementSink {
  /** Elements taken so far. */
  length = 0
  protected abstract readonly datatype: Datatype
  readonly #input: string

  constructor(input: string) {
    this.#input = input
  }

  /** Takes the element at the reader's position; with `isRow` also those that follow with commas. */
  abstract read(reader: JsonReader, isRow: boolean): void

  /** Everything taken, in a shape whose product is `length`. */
  abstract toTensor(shape: readonly number[]): Tensor

  /** For an element that its datatype cannot hold: `problem` follows the element's text. */
  protected refuse(token: string, problem: string): ServerError {
    const place = `Input ${quote(this.#input)}, element ${this.length}`
    return new ServerError('InvalidInputException', `${place}: ${token} ${problem}.`)
  }

  /** For a number, beginning at `start`, that is too large for the datatype; `range` may say what is not. */
  protected outOfRange(reader: JsonReader, start: number, range = ''): ServerError {
    reader.position = start
    return this.refuse(reader.token(), `is out of range for ${this.datatype}${range}`)
  }

  /** For something else than the datatype's elements; malformed JSON is reported as such. */
  protected unexpected(reader: JsonReader, expected: string): ServerError {
    if (!VALUE_STARTS.has(reader.peek())) return reader.unexpected('a value')
    const token = reader.token()
    const hint = token === 'null' ? '; only inputs of floats may have null, which is NaN there' : ''
    return this.refuse(token, `is not ${expected}${hint}`)
  }
}

/** Consumes the comma behind an element, if there is one. */
export function takeComma(reader: JsonReader): boolean {
  if (reader.peek() !== COMMA) return false
  reader.position++
  return true
}
