/** Numbers of a response. */

/** Softmax. The highest score is subtracted first, because `exp` would overflow. */
export function softmax(scores: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(scores)
  const most = values.reduce((best, score) => Math.max(best, score), -Infinity)
  const powers = values.map((score) => Math.exp(score - most))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

export function sigmoid(score: number): number {
  return 1 / (1 + Math.exp(-score))
}

/** The number with the fewest digits that is the same float32. */
export function short(value: number): number {
  const single = Math.fround(value)
  for (let precision = 6; precision <= 9; precision++) {
    const text = Number(single.toPrecision(precision))
    if (Math.fround(text) === single) return text
  }
  return single
}

/** Indices of the highest values in descending order; of equal values the lower index first. */
export function highest(values: ArrayLike<number>, count: number): readonly number[] {
  const best: number[] = []
  const at = (index: number | undefined): number => {
    const value = index === undefined ? -Infinity : (values[index] ?? -Infinity)
    return Number.isNaN(value) ? -Infinity : value
  }
  for (let index = 0; index < values.length; index++) {
    if (best.length >= count && at(index) <= at(best.at(-1))) continue
    let place = best.length
    while (place > 0 && at(index) > at(best[place - 1])) place--
    best.splice(place, 0, index)
    if (best.length > count) best.pop()
  }
  return best
}

/** The vector with length 1. */
export function normalized(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  return vector.map((value) => value / Math.max(length, 1e-12))
}

/** Cosine of the angle between two vectors. */
export function cosine(one: Float64Array, other: Float64Array): number {
  const [first, second] = [normalized(one), normalized(other)]
  return first.reduce((sum, value, index) => sum + value * (second[index] ?? 0), 0)
}
