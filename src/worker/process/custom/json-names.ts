/** Counts the different names of members in JSON without building any of its values. */
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const FNV_PRIME = 0x01_00_01_93
/** New in each process, so that nobody can choose names that count as one. */
const SEED = Math.floor(Math.random() * 2 ** 32)

/**
 * Whether the strings that stand before colons are more than `limit` different ones; two of them
 * may rarely count as one.
 */
export function hasMoreNamesThan(bytes: Buffer, limit: number): boolean {
  // A name takes four bytes with its quotes, its colon and a value.
  if (bytes.length <= 4 * limit) return false
  const seen = new Hashes(limit + 1)
  let at = bytes.indexOf(QUOTE)
  while (at !== -1) {
    let hash = SEED
    let byte = bytes[++at]
    for (; byte !== QUOTE && byte !== undefined; byte = bytes[++at]) {
      hash = Math.imul(hash ^ byte, FNV_PRIME)
      if (byte === BACKSLASH) hash = Math.imul(hash ^ (bytes[++at] ?? 0), FNV_PRIME)
    }
    byte = bytes[++at]
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++at]
    if (byte === COLON && seen.add(mixed(hash)) > limit) return true
    at = bytes.indexOf(QUOTE, at)
  }
  return false
}

/** Spreads the differences of the last bytes over the whole number. */
function mixed(hash: number): number {
  const half = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  return (half ^ (half >>> 13)) >>> 0
}

/** A set of numbers from 0 to 2^32 - 1 in one block of memory. */
class Hashes {
  readonly #slots: Uint32Array
  #size = 0

  constructor(most: number) {
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * most)))
  }

  /** How many there are with this one. */
  add(hash: number): number {
    const last = this.#slots.length - 1
    // 0 marks an empty slot.
    const value = hash === 0 ? 1 : hash
    let slot = value & last
    while (this.#slots[slot] !== 0 && this.#slots[slot] !== value) slot = (slot + 1) & last
    if (this.#slots[slot] === 0) {
      this.#slots[slot] = value
      this.#size++
    }
    return this.#size
  }
}
