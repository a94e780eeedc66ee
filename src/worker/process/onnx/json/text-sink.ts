import { textToElement } from '../tensors/byte-strings.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { ElementSink, takeComma } from './element-sink.ts'
import type { JsonReader } from './reader.ts'

const ZERO = 0x30
const ONE = 0x31
const LEAST_ROOM = 256

/** BYTES: strings, each standing for its UTF-8 bytes. */
export class TextSink extends ElementSink {
  protected override readonly datatype = 'BYTES'
  readonly #data: string[] = []

  toTensor(shape: readonly number[]): Tensor {
    return { datatype: 'BYTES', shape, data: this.#data }
  }

  read(reader: JsonReader, isRow: boolean): void {
    do {
      if (!reader.isString()) throw this.unexpected(reader, 'a string')
      this.#data.push(textToElement(reader.readString()))
      this.length++
    } while (isRow && takeComma(reader))
  }
}

/** BOOL: `true` and `false`, or 1 and 0. */
export class BooleanSink extends ElementSink {
  protected override readonly datatype = 'BOOL'
  #data: Uint8Array

  constructor(input: string, room: number) {
    super(input)
    this.#data = new Uint8Array(room)
  }

  toTensor(shape: readonly number[]): Tensor {
    return { datatype: 'BOOL', shape, data: this.#data.subarray(0, this.length) }
  }

  read(reader: JsonReader, isRow: boolean): void {
    do {
      if (this.length === this.#data.length) this.#grow()
      this.#data[this.length] = this.#readBit(reader)
      this.length++
    } while (isRow && takeComma(reader))
  }

  #readBit(reader: JsonReader): 0 | 1 {
    if (reader.take('true')) return 1
    if (reader.take('false')) return 0
    const byte = reader.peek()
    const isBit =
      (byte === ZERO || byte === ONE) && !continuesNumber(reader.bytes[reader.position + 1])
    if (!isBit) throw this.unexpected(reader, 'true, false, 1 or 0')
    reader.position++
    return byte === ONE ? 1 : 0
  }

  #grow(): void {
    const grown = new Uint8Array(Math.max(LEAST_ROOM, this.#data.length * 2))
    grown.set(this.#data)
    this.#data = grown
  }
}

/** Digits, `.`, `e`, signs and letters: `10`, `1.0`, `1e3`, `1x`. */
function continuesNumber(byte = 0): boolean {
  return /[\w.+-]/.test(String.fromCharCode(byte))
}
