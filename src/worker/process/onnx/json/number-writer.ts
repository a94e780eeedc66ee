/**
 * Numbers as JSON text, written straight into bytes. A float32 gets the fewest digits that read back as the same
 * float32 (0.1, not 0.10000000149011612): scaled to an integer of 7, 8 or 9 digits, which one division undoes.
 */

const ZERO = 0x30
const MINUS = 0x2d
const DOT = 0x2e
const LOWER_E = 0x65
/** Enough to scale the least float32, 1.4e-45, to 9 digits. */
const MAX_POWER = 54
/** Powers of ten up to this one are exact, so that dividing by them rounds once. */
const MAX_EXACT_POWER = 22
const POWERS_OF_TEN = Float64Array.from({ length: MAX_POWER + 1 }, (_, n) => Number(`1e${n}`))
/** More than the relative error of dividing by a power that is not exact. */
const SCALE_ERROR = 1e-15
/** Below this a number is written with an exponent, as JavaScript does. */
const LEAST_FIXED = 1e-6
/** From here on float32 has only integers, of more digits than it needs. */
const MOST_SCALED = 1e9

/** Room that any number needs at most. */
export const MAX_NUMBER_BYTES = 32

/** Writes a float32 at `at` and returns the offset behind it. NaN and infinities, which JSON lacks, become `null`. */
export function writeSingle(bytes: Buffer, at: number, value: number): number {
  if (!Number.isFinite(value)) return writeAscii(bytes, at, 'null')
  const magnitude = Math.abs(value)
  if (value < 0 || Object.is(value, -0)) bytes[at++] = MINUS
  if (magnitude >= MOST_SCALED) return writeAscii(bytes, at, shortestText(magnitude))
  if (Number.isInteger(magnitude)) return writeInteger(bytes, at, magnitude)
  let decimals = 6
  if (magnitude >= 1) while (magnitude >= (POWERS_OF_TEN[7 - decimals] ?? 0)) decimals--
  else while (magnitude * (POWERS_OF_TEN[decimals - 6] ?? 0) < 1) decimals++
  for (const last = decimals + 2; decimals <= last; decimals++) {
    const digits = Math.round(magnitude * (POWERS_OF_TEN[decimals] ?? 1))
    if (readsBackAs(magnitude, digits, decimals)) {
      return writeDecimal(bytes, at, digits, decimals, magnitude < LEAST_FIXED)
    }
  }
  return writeAscii(bytes, at, shortestText(magnitude))
}

/** Does `digits` × 10^-`decimals` round to this float32, however a reader computes it? */
function readsBackAs(magnitude: number, digits: number, decimals: number): boolean {
  const value = digits / (POWERS_OF_TEN[decimals] ?? 1)
  if (decimals <= MAX_EXACT_POWER) return Math.fround(value) === magnitude
  const least = Math.fround(value * (1 - SCALE_ERROR))
  return least === magnitude && Math.fround(value * (1 + SCALE_ERROR)) === magnitude
}

/** Writes a float64 with the fewest digits that read back as the same. NaN and infinities become `null`. */
export function writeDouble(bytes: Buffer, at: number, value: number): number {
  if (!Number.isFinite(value)) return writeAscii(bytes, at, 'null')
  return writeAscii(bytes, at, Object.is(value, -0) ? '-0' : String(value))
}

/** Writes an integer within ±2^53. */
export function writeInteger(bytes: Buffer, at: number, value: number): number {
  if (value < 0) {
    bytes[at++] = MINUS
    value = -value
  }
  const end = at + digitCount(value)
  let rest = value
  for (let index = end - 1; index >= at; index--) {
    const tenth = Math.floor(rest / 10)
    bytes[index] = ZERO + (rest - tenth * 10)
    rest = tenth
  }
  return end
}

/** Writes text of single-byte characters. */
export function writeAscii(bytes: Buffer, at: number, text: string): number {
  return at + bytes.write(text, at, 'latin1')
}

/** `digits` × 10^-`decimals`; `digits` has at most 9 digits and is not 0. */
function writeDecimal(
  bytes: Buffer,
  at: number,
  digits: number,
  decimals: number,
  withExponent: boolean,
): number {
  while (digits % 10 === 0) {
    digits /= 10
    decimals--
  }
  const count = digitCount(digits)
  if (withExponent) return writeScientific(bytes, at, digits, count, decimals)
  if (count <= decimals) {
    bytes[at++] = ZERO
    bytes[at++] = DOT
    for (let zeros = decimals - count; zeros > 0; zeros--) bytes[at++] = ZERO
    return writeInteger(bytes, at, digits)
  }
  return writeWithPoint(bytes, at, digits, count - decimals)
}

function writeScientific(
  bytes: Buffer,
  at: number,
  digits: number,
  count: number,
  decimals: number,
): number {
  const end = count === 1 ? writeInteger(bytes, at, digits) : writeWithPoint(bytes, at, digits, 1)
  bytes[end] = LOWER_E
  return writeInteger(bytes, end + 1, count - 1 - decimals)
}

/** The digits with a point behind the first `whole` of them. */
function writeWithPoint(bytes: Buffer, at: number, digits: number, whole: number): number {
  const end = writeInteger(bytes, at + 1, digits)
  bytes.copyWithin(at, at + 1, at + 1 + whole)
  bytes[at + whole] = DOT
  return end
}

function digitCount(value: number): number {
  let count = 1
  for (let limit = 10; value >= limit; limit *= 10) count++
  return count
}

function shortestText(magnitude: number): string {
  for (let precision = 6; precision < 9; precision++) {
    const text = Number(magnitude.toPrecision(precision))
    if (Math.fround(text) === magnitude) return String(text)
  }
  return String(Number(magnitude.toPrecision(9)))
}
