/** Numbers of models as the page shows them. */

/** A number with four digits: `0.9908`, `12.35`, `3.46e-10`. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'null' : String(value)
  const size = Math.abs(value)
  if (value === 0 || (size >= 1000 && size < 1e6)) return String(Math.round(value * 10) / 10)
  if (size >= 1e6 || size < 0.0001) return value.toExponential(2)
  return size >= 1 ? String(Number(value.toPrecision(4))) : value.toFixed(4)
}
