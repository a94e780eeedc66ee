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

/** Forms of a vector in a response. */
export const EMBEDDING_FORMATS = ['float', 'base64', 'int8', 'uint8', 'binary', 'ubinary'] as const
export type EmbeddingFormat = (typeof EMBEDDING_FORMATS)[number]

/** A list of numbers, or the bytes of float32 numbers as base64. */
export function written(vector: Float64Array, format: EmbeddingFormat): readonly number[] | string {
  switch (format) {
    case 'float':
      return Array.from(vector, short)
    case 'base64': {
      const single = Float32Array.from(vector)
      return Buffer.from(single.buffer, single.byteOffset, single.byteLength).toString('base64')
    }
    case 'int8':
      return Array.from(vector, (value) => clamp(Math.round(value * 127), -128, 127))
    case 'uint8':
      return Array.from(vector, (value) => clamp(Math.round(value * 127) + 128, 0, 255))
    case 'binary':
      return packed(vector).map((byte) => byte - 128)
    case 'ubinary':
      return packed(vector)
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}

/** One bit for each number: whether it is above 0; the first number is the highest bit. */
function packed(vector: Float64Array): number[] {
  const bytes = Array<number>(Math.ceil(vector.length / 8)).fill(0)
  for (const [index, value] of vector.entries()) {
    if (value > 0) bytes[index >> 3] = (bytes[index >> 3] ?? 0) | (0x80 >> (index & 7))
  }
  return bytes
}
