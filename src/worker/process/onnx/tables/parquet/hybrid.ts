/**
 * Reads integers in runs, alternately repeated and packed in bits: definition levels, positions in
 * a dictionary, Booleans.
 */
import { damaged } from './damage.ts'

const MAX_WIDTH = 32
const PACK = 8

export class HybridReader {
  readonly #bytes: Buffer
  readonly #width: number
  #at = 0
  /** Values that are left of the current run. */
  #left = 0
  #repeated: number | undefined
  /** Position of the next packed value, in bits. */
  #bit = 0

  /** @param width Bits of each value. */
  constructor(bytes: Buffer, width: number) {
    if (width > MAX_WIDTH) throw damaged('a page has a wrong bit width')
    this.#bytes = bytes
    this.#width = width
  }

  next(): number {
    while (this.#left === 0) this.#startRun()
    this.#left--
    if (this.#repeated !== undefined) return this.#repeated
    const value = bitsAt(this.#bytes, this.#bit, this.#width)
    this.#bit += this.#width
    return value
  }

  #startRun(): void {
    const head = this.#head()
    const isPacked = head % 2 === 1
    const count = Math.floor(head / 2)
    if (isPacked) {
      this.#left = count * PACK
      this.#repeated = undefined
      this.#bit = this.#at * 8
      this.#at += count * this.#width
      return
    }
    this.#left = count
    const size = Math.ceil(this.#width / 8)
    let value = 0
    for (let index = 0; index < size; index++) value += this.#byte() * 2 ** (8 * index)
    this.#repeated = value
  }

  #head(): number {
    let value = 0
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = this.#byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw damaged('a page has a wrong run')
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw damaged('a page is cut off')
    return byte
  }
}

/** Reads up to 32 bits, the lowest first. */
export function bitsAt(bytes: Buffer, start: number, width: number): number {
  let value = 0
  for (let done = 0; done < width;) {
    const at = start + done
    const byte = bytes[Math.floor(at / 8)]
    if (byte === undefined) throw damaged('a page is cut off')
    const shift = at % 8
    const count = Math.min(8 - shift, width - done)
    value += ((byte >> shift) & (2 ** count - 1)) * 2 ** done
    done += count
  }
  return value
}
