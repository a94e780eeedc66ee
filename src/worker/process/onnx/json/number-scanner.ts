import type { ServerError } from '../../../../errors.ts'

const MINUS = 0x2d
const PLUS = 0x2b
const DOT = 0x2e
const ZERO = 0x30
const UPPER_E = 0x45
const LOWER_E = 0x65
const MAX_EXACT_DIGITS = 15

/** A position in a JSON text at which a number is read. `JsonReader` implements it. */
export interface JsonCursor {
  readonly bytes: Buffer
  /** Offset of the next byte. */
  position: number
  /** The next byte that is not white space, without consuming it; -1 at the end. */
  peek(): number
  /** Consumes `word` if it comes next, and says whether it did. */
  take(word: string): boolean
  /** Builds an error that names the byte offset `at`. */
  error(problem: string, at?: number): ServerError
  /** Builds an error that names the token at the position. */
  unexpected(expected: string): ServerError
}

export function isDigit(byte: number): boolean {
  return (byte ^ ZERO) < 10
}

/**
 * Reads an integer of any length: a number if that is exact, otherwise a bigint. Returns
 * `undefined`, after skipping white space only, when the next value is not an integer. `1e3` is not
 * an integer here.
 * @param mayHavePoint Whether `1.0` is an integer. pandas writes it for a column that had a gap.
 */
export function readInteger(reader: JsonCursor, mayHavePoint = false): number | bigint | undefined {
  reader.peek()
  const { bytes } = reader
  const start = reader.position
  let at = start
  let byte = bytes[at] ?? 0
  const isNegative = byte === MINUS
  if (isNegative) byte = bytes[++at] ?? 0
  const first = at
  let value = 0
  while (isDigit(byte)) {
    value = value * 10 + (byte - ZERO)
    byte = bytes[++at] ?? 0
  }
  let end = at
  if (byte === DOT && mayHavePoint) {
    do byte = bytes[++end] ?? 0
    while (byte === ZERO)
    if (end === at + 1 || isDigit(byte)) return undefined
  }
  if (at === first || byte === DOT || byte === LOWER_E || byte === UPPER_E) return undefined
  const digits = at - first
  if (digits > 1 && bytes[first] === ZERO)
    throw reader.error('a number must not start with 0', start)
  reader.position = end
  if (digits <= MAX_EXACT_DIGITS) return isNegative ? 0 - value : value
  // Any such value is out of range, and BigInt() takes quadratic time.
  if (digits > 20) return isNegative ? -(2n ** 64n) : 2n ** 64n
  return BigInt(bytes.toString('latin1', start, at))
}

/**
 * Reads the exponent after the `e` of a number, and leaves the reader after it. A longer exponent
 * than five digits is cut to five, which is more than any number needs.
 */
export function readExponent(reader: JsonCursor): number {
  const { bytes } = reader
  let at = reader.position
  let byte = bytes[at] ?? 0
  const isNegative = byte === MINUS
  if (isNegative || byte === PLUS) byte = bytes[++at] ?? 0
  if (!isDigit(byte)) throw reader.error('a digit must follow the exponent mark of a number', at)
  let exponent = 0
  do {
    if (exponent < 10_000) exponent = exponent * 10 + (byte - ZERO)
    byte = bytes[++at] ?? 0
  } while (isDigit(byte))
  reader.position = at
  return isNegative ? -exponent : exponent
}

/** Checks and skips a number, including `NaN` and `Infinity`. */
export function skipNumber(reader: JsonCursor): void {
  const { bytes } = reader
  if (!isDigit(reader.peek())) {
    if (reader.take('NaN') || reader.take('Infinity') || reader.take('-Infinity')) return
  }
  const start = reader.position
  let at = start
  if (bytes[at] === MINUS) at++
  const first = at
  while (isDigit(bytes[at] ?? 0)) at++
  if (at === first) throw reader.unexpected('a value')
  if (bytes[first] === ZERO && at > first + 1) {
    throw reader.error('a number must not start with 0', start)
  }
  if (bytes[at] === DOT) {
    const fraction = ++at
    while (isDigit(bytes[at] ?? 0)) at++
    if (at === fraction) throw reader.error('a digit must follow the "." of a number', at)
  }
  reader.position = at
  if (bytes[at] === LOWER_E || bytes[at] === UPPER_E) {
    reader.position++
    readExponent(reader)
  }
}
