/**
 * Converts a decimal number, with its digits gathered as integers, to a double with plain
 * arithmetic. A result of NaN means that this arithmetic cannot decide: where the last digits
 * decide between two neighbours, the caller must read the text with `Number()`.
 */

/** A double holds this many digits exactly, and powers of ten up to this exponent. */
export const MAX_EXACT_DIGITS = 15
const MAX_EXACT_EXPONENT = 22
const POWERS_OF_TEN = Float64Array.from({ length: MAX_EXACT_EXPONENT + 1 }, (_, n) =>
  Number(`1e${n}`),
)
/** Larger than the relative error of three roundings. */
const SCALE_ERROR = 1e-15
/** Multiplying by this splits a double into two halves whose products are exact (Veltkamp). */
const SPLITTER = 2 ** 27 + 1

/**
 * Returns a double that rounds to the float32 nearest to `digits · 10^exponent`, or NaN.
 * @param digits At most 15 digits.
 * @param isCut Whether more digits follow that are not in `digits`.
 */
export function nearestSingle(digits: number, isCut: boolean, exponent: number): number {
  if (digits === 0) return 0
  if (!isCut && isExactPower(exponent)) return scale(digits, exponent)
  if (exponent > MAX_EXACT_EXPONENT || exponent < -2 * MAX_EXACT_EXPONENT) return Number.NaN
  // The value lies between these two, and rounding keeps the order: if both give the same float32,
  // it is the result.
  const least = scale(digits, exponent) * (1 - SCALE_ERROR)
  const most = scale(isCut ? digits + 1 : digits, exponent) * (1 + SCALE_ERROR)
  return Math.fround(least) === Math.fround(most) ? least : Number.NaN
}

/**
 * Returns the double nearest to `(head · 10^tailDigits + tail) · 10^exponent`, or NaN.
 * @param head The first digits, at most 15.
 * @param tail The next `tailDigits` digits, at most 4.
 * @param isCut Whether more digits follow that are in neither.
 */
export function nearestDouble(
  head: number,
  tail: number,
  tailDigits: number,
  isCut: boolean,
  exponent: number,
): number {
  if (head === 0) return 0
  if (tailDigits === 0 && !isCut && isExactPower(exponent)) return scale(head, exponent)
  const power = -(exponent + tailDigits)
  if (power <= 0 || power > MAX_EXACT_EXPONENT) return Number.NaN
  const divisor = POWERS_OF_TEN[power] ?? 1
  // Adds to the quotient what it lacks: the exact remainder of the division, and the tail.
  const quotient = head / divisor
  const rest = remainder(head, quotient, divisor) / divisor
  const added = scale(tail, exponent)
  const slack = 4 * SCALE_ERROR * (Math.abs(rest) + added)
  const least = quotient + (rest + added - slack)
  const most = quotient + (rest + scale(isCut ? tail + 1 : tail, exponent) + slack)
  return least === most ? least : Number.NaN
}

/** `dividend - quotient · divisor` without error, for a rounded `quotient` (Dekker's product). */
function remainder(dividend: number, quotient: number, divisor: number): number {
  const product = quotient * divisor
  const quotientSplit = quotient * SPLITTER
  const quotientHigh = quotientSplit - (quotientSplit - quotient)
  const quotientLow = quotient - quotientHigh
  const divisorSplit = divisor * SPLITTER
  const divisorHigh = divisorSplit - (divisorSplit - divisor)
  const divisorLow = divisor - divisorHigh
  const error =
    quotientHigh * divisorHigh -
    product +
    quotientHigh * divisorLow +
    quotientLow * divisorHigh +
    quotientLow * divisorLow
  return dividend - product - error
}

function isExactPower(exponent: number): boolean {
  return exponent >= -MAX_EXACT_EXPONENT && exponent <= MAX_EXACT_EXPONENT
}

/**
 * Has one rounding error for exponents within ±22. Down to -44 the relative error is below {@link
 * SCALE_ERROR}.
 */
function scale(digits: number, exponent: number): number {
  if (exponent >= 0) return digits * (POWERS_OF_TEN[exponent] ?? 1)
  if (exponent >= -MAX_EXACT_EXPONENT) return digits / (POWERS_OF_TEN[-exponent] ?? 1)
  return digits / 1e22 / (POWERS_OF_TEN[-exponent - MAX_EXACT_EXPONENT] ?? 1)
}
