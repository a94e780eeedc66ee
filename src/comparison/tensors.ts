/** Compares two tensors by the rule for their data. */
import { shown, unlike } from './comparison.ts'
import type { NamedValues, OutputComparison, Scalar, Tolerance, Values } from './comparison.ts'
import { floatsOf, limitsFor, rowsOf, ruleFor } from './rules.ts'
import type { Limits } from './rules.ts'

const MAX_LENGTH_ERROR = 0.05

/** Two outputs with the same name. */
export function compareTensors(
  one: NamedValues,
  other: NamedValues,
  tolerance: Tolerance,
): OutputComparison {
  const { name } = one
  if (one.datatype !== other.datatype)
    return unlike(name, `datatype ${shown(other.datatype)} instead of ${shown(one.datatype)}`)
  if (one.shape.join() !== other.shape.join() || one.data.length !== other.data.length)
    return unlike(name, `shape ${shapeText(other)} instead of ${shapeText(one)}`)
  const floats = floatsOf(one, other)
  const [first, second] = floats
  const rule = ruleFor(one, other, floats)
  if (first === undefined || second === undefined) return exact(name, one.data, other.data)
  const limits = limitsFor(one.datatype, tolerance)
  const numbers = compareNumbers(name, first, second, limits)
  switch (rule) {
    case 'probabilities':
      return probabilities(numbers, [first, second], one.shape, limits)
    case 'embedding':
      return embeddings(numbers, [first, second], one.shape, limits)
    default:
      return numbers
  }
}

function exact(name: string, one: ArrayLike<Scalar>, other: ArrayLike<Scalar>): OutputComparison {
  let different = 0
  let first = -1
  for (let index = 0; index < one.length; index += 1) {
    if (isSame(one[index], other[index])) continue
    if (first < 0) first = index
    different += 1
  }
  const agrees = different === 0
  return {
    name,
    kind: 'exact',
    agrees,
    difference: agrees ? 0 : different / one.length,
    measures: { elements: one.length, different },
    ...(!agrees && {
      reason: `element ${first} is ${shown(other[first])} instead of ${shown(one[first])}`,
    }),
  }
}

/** Compares floats one by one. */
export function compareNumbers(
  name: string,
  one: Float64Array,
  other: Float64Array,
  { absolute, relative }: Limits,
): OutputComparison {
  // Below this size the difference is not relative to the numbers, which may be near zero.
  const floor = relative > 0 ? absolute / relative : absolute
  let [beyond, maxAbsolute, maxRelative, worst] = [0, 0, 0, -1]
  for (let index = 0; index < one.length; index += 1) {
    const [a, b] = [one[index] ?? 0, other[index] ?? 0]
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue
    const isFinite = Number.isFinite(a) && Number.isFinite(b)
    const size = Math.max(Math.abs(a), Math.abs(b))
    const apart = isFinite ? Math.abs(a - b) : Number.MAX_VALUE
    const ratio = isFinite ? Math.min(1, apart / Math.max(size, floor)) : 1
    if (!isFinite || apart > absolute + relative * size) beyond += 1
    if (ratio > maxRelative || worst < 0) worst = index
    maxRelative = Math.max(maxRelative, ratio)
    maxAbsolute = Math.max(maxAbsolute, apart)
  }
  return {
    name,
    kind: 'numbers',
    agrees: beyond === 0,
    difference: maxRelative,
    measures: { elements: one.length, beyond, maxAbsolute, maxRelative },
    ...(beyond > 0 && {
      reason: `element ${worst} is ${shown(other[worst])} instead of ${shown(one[worst])}; ${beyond} of ${one.length} differ by more than the tolerance`,
    }),
  }
}

type Pair = readonly [one: Float64Array, other: Float64Array]

function probabilities(
  numbers: OutputComparison,
  pair: Pair,
  shape: readonly number[],
  limits: Limits,
): OutputComparison {
  let [rows, sameTop, divergence, worst, wrongRow] = [0, 0, 0, 0, -1]
  for (const [start, end] of rowsOf(pair[0].length, shape)) {
    const apart = divergenceOf(pair, start, end)
    const isSameTop = hasSameTop(pair, start, end, limits)
    if (apart > divergence) worst = rows
    if (!isSameTop && wrongRow < 0) wrongRow = rows
    divergence = Math.max(divergence, apart)
    sameTop += Number(isSameTop)
    rows += 1
  }
  const agrees = numbers.agrees || (sameTop === rows && divergence <= limits.divergence)
  const reason =
    wrongRow >= 0
      ? `row ${wrongRow}: another class has the highest probability`
      : `row ${worst}: the divergence is ${divergence.toPrecision(3)}, more than ${limits.divergence}`
  return {
    name: numbers.name,
    kind: 'probabilities',
    agrees,
    difference: divergence,
    measures: { rows, top1: sameTop / rows, divergence },
    ...(!agrees && { reason }),
  }
}

/** The Jensen–Shannon divergence in bits, from 0 to 1. */
export function divergenceOf([one, other]: Pair, start: number, end: number): number {
  let sum = 0
  for (let index = start; index < end; index += 1) {
    const [p, q] = [one[index] ?? 0, other[index] ?? 0]
    const mean = (p + q) / 2
    if (p > 0) sum += p * Math.log2(p / mean)
    if (q > 0) sum += q * Math.log2(q / mean)
  }
  return Math.min(1, Math.max(0, sum / 2))
}

/** Whether one class has the highest probability in both, or as good as. */
function hasSameTop([one, other]: Pair, start: number, end: number, limits: Limits): boolean {
  const isTop = (data: Float64Array): ((index: number) => boolean) => {
    let max = 0
    for (let index = start; index < end; index += 1) max = Math.max(max, data[index] ?? 0)
    const least = max - limits.absolute - limits.relative * max
    return (index) => (data[index] ?? 0) >= least
  }
  const [isTopOfOne, isTopOfOther] = [isTop(one), isTop(other)]
  for (let index = start; index < end; index += 1)
    if (isTopOfOne(index) && isTopOfOther(index)) return true
  return false
}

function embeddings(
  numbers: OutputComparison,
  pair: Pair,
  shape: readonly number[],
  limits: Limits,
): OutputComparison {
  let [rows, cosine, lengthError, worst] = [0, 1, 0, 0]
  for (const [start, end] of rowsOf(pair[0].length, shape)) {
    const row = angleOf(pair, start, end)
    if (row.cosine < cosine) worst = rows
    cosine = Math.min(cosine, row.cosine)
    lengthError = Math.max(lengthError, row.lengthError)
    rows += 1
  }
  const agrees = numbers.agrees || (cosine >= limits.cosine && lengthError <= MAX_LENGTH_ERROR)
  const reason =
    cosine < limits.cosine
      ? `row ${worst}: the cosine is ${cosine.toPrecision(4)}, less than ${limits.cosine}`
      : `the length of a row differs by ${(lengthError * 100).toPrecision(3)} %`
  return {
    name: numbers.name,
    kind: 'embedding',
    agrees,
    difference: (1 - cosine) / 2,
    measures: { rows, cosine, lengthError },
    ...(!agrees && { reason }),
  }
}

function angleOf(
  [one, other]: Pair,
  start: number,
  end: number,
): { readonly cosine: number; readonly lengthError: number } {
  let [product, first, second, isEqual] = [0, 0, 0, true]
  for (let index = start; index < end; index += 1) {
    const [a, b] = [one[index] ?? 0, other[index] ?? 0]
    if (a !== b && !(Number.isNaN(a) && Number.isNaN(b))) isEqual = false
    product += a * b
    first += a * a
    second += b * b
  }
  if (isEqual) return { cosine: 1, lengthError: 0 }
  const [length, otherLength] = [Math.sqrt(first), Math.sqrt(second)]
  const cosine = product / (length * otherLength)
  if (!Number.isFinite(cosine)) return { cosine: -1, lengthError: 1 }
  const lengthError = Math.abs(length - otherLength) / Math.max(length, otherLength)
  return { cosine: Math.min(1, Math.max(-1, cosine)), lengthError }
}

function isSame(one: Scalar | undefined, other: Scalar | undefined): boolean {
  if (one === other || (Number.isNaN(one) && Number.isNaN(other))) return true
  if (typeof one === 'bigint' && Number.isInteger(other)) return one === BigInt(Number(other))
  if (typeof other === 'bigint' && Number.isInteger(one)) return other === BigInt(Number(one))
  return false
}

function shapeText({ shape }: Values): string {
  return shown(`[${shape.join(',')}]`).replaceAll('"', '')
}
