import { allocateData } from '../tensors/tensor.ts'
import type { DataOf, Tensor } from '../tensors/tensor.ts'
import { ElementSink, takeComma } from './element-sink.ts'
import { readInteger } from './number-scanner.ts'
import type { JsonReader } from './reader.ts'

const LEAST_ROOM = 256
const TWO_TO_32 = 2 ** 32

export type NarrowInteger = 'UINT8' | 'UINT16' | 'UINT32' | 'INT8' | 'INT16' | 'INT32'
export type WideInteger = 'UINT64' | 'INT64'

/** Smallest and largest value of each datatype of up to 32 bits. */
export const NARROW_RANGES: Readonly<
  Record<NarrowInteger, readonly [least: number, most: number]>
> = {
  UINT8: [0, 255],
  UINT16: [0, 65_535],
  UINT32: [0, 4_294_967_295],
  INT8: [-128, 127],
  INT16: [-32_768, 32_767],
  INT32: [-2_147_483_648, 2_147_483_647],
}
/** Smallest and largest value of the 64-bit datatypes. */
export const WIDE_RANGES: Readonly<Record<WideInteger, readonly [least: bigint, most: bigint]>> = {
  UINT64: [0n, 2n ** 64n - 1n],
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
}

/**
 * Reads integers of up to 32 bits. Typed arrays would wrap a value that is too large, so the range
 * is checked first.
 */
export class NarrowIntegerSink extends ElementSink {
  protected override readonly datatype: NarrowInteger
  #data: DataOf[NarrowInteger]

  constructor(input: string, datatype: NarrowInteger, room: number) {
    super(input)
    this.datatype = datatype
    this.#data = allocateData(datatype, room)
  }

  toTensor(shape: readonly number[]): Tensor {
    return { datatype: this.datatype, shape, data: this.#data.subarray(0, this.length) }
  }

  read(reader: JsonReader, isRow: boolean): void {
    const [least, most] = NARROW_RANGES[this.datatype]
    let data = this.#data
    do {
      const start = reader.position
      const value = readInteger(reader, true)
      if (value === undefined) throw this.unexpected(reader, 'an integer')
      if (typeof value === 'bigint' || value < least || value > most) {
        throw this.outOfRange(reader, start, rangeText(least, most))
      }
      if (this.length === data.length) data = this.#grow()
      data[this.length++] = value
    } while (isRow && takeComma(reader))
  }

  #grow(): DataOf[NarrowInteger] {
    const grown = allocateData(this.datatype, Math.max(LEAST_ROOM, this.#data.length * 2))
    grown.set(this.#data)
    this.#data = grown
    return grown
  }
}

/**
 * Reads 64-bit integers exactly. A value that a double holds exactly is stored as two 32-bit
 * halves, which avoids a bigint for each element.
 */
export class WideIntegerSink extends ElementSink {
  protected override readonly datatype: WideInteger
  #halves: Uint32Array

  constructor(input: string, datatype: WideInteger, room: number) {
    super(input)
    this.datatype = datatype
    this.#halves = new Uint32Array(2 * room)
  }

  toTensor(shape: readonly number[]): Tensor {
    const { buffer } = this.#halves
    return this.datatype === 'INT64'
      ? { datatype: 'INT64', shape, data: new BigInt64Array(buffer, 0, this.length) }
      : { datatype: 'UINT64', shape, data: new BigUint64Array(buffer, 0, this.length) }
  }

  read(reader: JsonReader, isRow: boolean): void {
    do {
      const start = reader.position
      const value = readInteger(reader, true)
      if (value === undefined) throw this.unexpected(reader, 'an integer')
      if (2 * this.length === this.#halves.length) this.#grow()
      if (!this.#store(value)) {
        const [least, most] = WIDE_RANGES[this.datatype]
        throw this.outOfRange(reader, start, rangeText(least, most))
      }
      this.length++
    } while (isRow && takeComma(reader))
  }

  /**
   * Returns false when the datatype cannot hold the value. Storing a number in a `Uint32Array`
   * takes it modulo 2^32, which gives two's complement for negative numbers.
   */
  #store(value: number | bigint): boolean {
    const at = 2 * this.length
    if (typeof value === 'number' && (value >= 0 || this.datatype === 'INT64')) {
      this.#halves[at] = value
      this.#halves[at + 1] = Math.floor(value / TWO_TO_32)
      return true
    }
    const wide = BigInt(value)
    const [least, most] = WIDE_RANGES[this.datatype]
    this.#halves[at] = Number(wide & 0xffff_ffffn)
    this.#halves[at + 1] = Number((wide >> 32n) & 0xffff_ffffn)
    return wide >= least && wide <= most
  }

  #grow(): void {
    const grown = new Uint32Array(Math.max(2 * LEAST_ROOM, this.#halves.length * 2))
    grown.set(this.#halves)
    this.#halves = grown
  }
}

function rangeText(least: number | bigint, most: number | bigint): string {
  return ` (${least} to ${most})`
}
