/**
 * The value of a decimal number whose digits were gathered as integers, in plain arithmetic of doubles. NaN means that this does not
 * settle it: where the last digits decide between two neighbours, `Number()` must read the text.
 */

/** As many digits fit a double exactly, and powers of ten up to this exponent do. */
export const MAX_EXACT_DIGITS = 15
const MAX_EXACT_EXPONENT = 22
const POWERS_OF_TEN = Float64Array.from({ length: MAX_EXACT_EXPONENT + 1 }, (_, n) =>
  Number(`1e${n}`),
)
/** More than the relative error of three roundings. */
const SCALE_ERROR = 1e-15
/** Multiplying by it splits a double into two halves whose products are exact (Veltkamp). */
const SPLITTER = 2 ** 27 + 1

/**
 * The float32 nearest to `digits · 10^exponent`, as some double that rounds to it.
 * @param digits Up to 15 of them.
 * @param isCut Whether more digits follow that are not among them.
 */
export function nearestSingle(digits: number, isCut: boolean, exponent: number): number {
  if (digits === 0) return 0
  if (!isCut && isExactPower(exponent)) return scale(digits, exponent)
  if (exponent > MAX_EXACT_EXPONENT || exponent < -2 * MAX_EXACT_EXPONENT) return Number.NaN
  // The value lies between these two, and rounding keeps the order: equal float32 neighbours settle it.
  const least = scale(digits, exponent) * (1 - SCALE_ERROR)
  const most = scale(isCut ? digits + 1 : digits, exponent) * (1 + SCALE_ERROR)
  return Math.fround(least) === Math.fround(most) ? least : Number.NaN
}

/**
 * The double nearest to `(head · 10^tailDigits + tail) · 10^exponent`.
 * @param head The first digits, up to 15.
 * @param tail The next `tailDigits`, a few.
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
  // A quotient, and what is still missing: the exact remainder of the division, and the tail.
  const quotient = head / divisor
  const rest = remainder(head, quotient, divisor) / divisor
  const added = scale(tail, exponent)
  const slack = 4 * SCALE_ERROR * (Math.abs(rest) + added)
  const least = quotient + (rest + added - slack)
  const most = quotient + (rest + scale(isCut ? tail + 1 : tail, exponent) + slack)
  return least === most ? least : Number.NaN
}

/** `dividend - quotient · divisor` without error, where `quotient` is the rounded one (Dekker's product). */
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

/** Exact to one rounding for exponents within ±22; down to -44 within {@link SCALE_ERROR}. */
function scale(digits: number, exponent: number): number {
  if (exponent >= 0) return digits * (POWERS_OF_TEN[exponent] ?? 1)
  if (exponent >= -MAX_EXACT_EXPONENT) return digits / (POWERS_OF_TEN[-exponent] ?? 1)
  return digits / 1e22 / (POWERS_OF_TEN[-exponent - MAX_EXACT_EXPONENT] ?? 1)
}
