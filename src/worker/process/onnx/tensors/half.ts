/** IEEE 754 half precision (FP16) as bits: Node 20 has no `Float16Array`. */

const POWERS_OF_TWO = Float64Array.from({ length: 32 }, (_, exponent) => 2 ** (exponent - 15))
const SUBNORMAL_STEP = 2 ** -24
/** From here on values round to infinity. */
const OVERFLOW = 65_520
const float64 = new Float64Array(1)
const words = new Uint32Array(float64.buffer)

/** Value of a half's bits. */
export function halfToNumber(bits: number): number {
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * fraction * SUBNORMAL_STEP
  return sign * (1 + fraction / 1024) * (POWERS_OF_TWO[exponent] ?? 0)
}

/** Bits of the half nearest to a number, ties to even. */
export function numberToHalf(value: number): number {
  float64[0] = value
  const high = words[1] ?? 0
  const sign = (high >>> 16) & 0x8000
  const magnitude = Math.abs(value)
  if (Number.isNaN(value)) return 0x7e00
  if (magnitude >= OVERFLOW) return sign | 0x7c00
  const exponent = ((high >>> 20) & 0x7ff) - 1023
  if (exponent < -14) return sign | roundToEven(magnitude / SUBNORMAL_STEP)
  // A fraction that rounds up to 2048 carries into the exponent, which is the right bits too.
  const fraction = roundToEven(magnitude * 2 ** (10 - exponent))
  return sign | (((exponent + 14) << 10) + fraction)
}

function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}
