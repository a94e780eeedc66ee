/**
 * Which rule compares an output. Only the data decides. A rule applies if the output has its form
 * in both responses; the first one of this list wins. Each rule has a difference from 0 to 1.
 *
 * - `detections`: a list of objects, each with a box of four numbers and a score. They agree if
 *   each box has a partner with the same label and a large IoU, and their scores differ by at most
 *   0.1. Difference: the share of boxes without a partner, or 1 - IoU of the worst pair.
 * - `labels`: a list of objects, each with another label, a score from 0 to 1, and nothing that
 *   does not follow from the label. They agree if the best label is the same, and the divergence of
 *   the scores is small. Scores with a sum above 1 belong to no distribution: each may differ by at
 *   most 0.1.
 * - `exact`: strings, booleans, integers, and mixtures. They agree if all are equal. Difference:
 *   the share of elements that differ.
 * - `probabilities`: floats; each row (last axis) has at least 2 numbers from 0 to 1 with the sum
 *   1. They agree if the best class of each row is the same, and the divergence is small.
 *   Difference: the largest Jensen-Shannon divergence of a row, in bits.
 * - `embedding`: floats with at most 2 axes; each row has at least 8 numbers and the length 1, or
 *   at least 128 numbers. They agree if the cosine of each row is near 1, and its length differs by
 *   at most 5 %. Difference: half of 1 - cosine.
 * - `numbers`: all other floats. They agree if each pair is within the tolerance. Difference: the
 *   largest relative difference.
 *
 * Texts of an output that are JSON, or classes such as `0.931:7:dog`, are compared as what they
 * say. Floats without a datatype, as in JSON, are numbers of which at least one is not an integer.
 * Floats within the tolerance agree by any of the last three rules. NaN agrees with NaN, an
 * infinity with itself, and -0 with 0.
 */
import type { Tolerance, Values } from './comparison.ts'

/** Limits with defaults filled in. */
export type Limits = { readonly [K in keyof Tolerance]-?: number }

export type TensorRule = 'exact' | 'numbers' | 'probabilities' | 'embedding'

/** What floats of a datatype may differ by. Numbers without datatype are written from FP32. */
const FLOATS: Readonly<Record<string, readonly [absolute: number, relative: number]>> = {
  FP64: [1e-9, 1e-6],
  FP32: [1e-5, 1e-3],
  FP16: [1e-3, 1e-2],
  BF16: [1e-2, 2e-2],
}
const UNTYPED = [1e-5, 1e-3] as const
const DEFAULTS = { divergence: 0.01, cosine: 0.999, iou: 0.75 }
const SUM_ERROR = 0.01
const MIN_CLASSES = 2
const MIN_UNIT_LENGTH = 8
const LENGTH_ERROR = 0.01
const LONG_VECTOR = 128

/** The limits for an output of a datatype. */
export function limitsFor(datatype: string, tolerance: Tolerance): Limits {
  const [absolute, relative] = isFloat(datatype) ? (FLOATS[datatype] ?? UNTYPED) : UNTYPED
  return {
    absolute: tolerance.absolute ?? absolute,
    relative: tolerance.relative ?? relative,
    divergence: tolerance.divergence ?? DEFAULTS.divergence,
    cosine: tolerance.cosine ?? DEFAULTS.cosine,
    iou: tolerance.iou ?? DEFAULTS.iou,
  }
}

/** The rule for two tensors of the same shape. */
export function ruleFor(one: Values, other: Values, floats: readonly Float64Array[]): TensorRule {
  if (floats.length !== 2) return 'exact'
  if (floats.every((data) => everyRow(data, one.shape, isProbabilities))) return 'probabilities'
  if (one.shape.length > 2 || other.shape.length > 2) return 'numbers'
  if (floats.every((data) => everyRow(data, one.shape, isLong))) return 'embedding'
  return floats.every((data) => everyRow(data, one.shape, isUnit)) ? 'embedding' : 'numbers'
}

/** Both outputs as floats; empty if the rule for floats does not apply. */
export function floatsOf(one: Values, other: Values): readonly Float64Array[] {
  const isTyped = one.datatype !== '' || other.datatype !== ''
  if (isTyped && !(isFloat(one.datatype) && isFloat(other.datatype))) return []
  const first = asFloats(one.data)
  const second = first && asFloats(other.data)
  if (first === undefined || second === undefined) return []
  return isTyped || [first, second].some(hasFraction) ? [first, second] : []
}

function isFloat(datatype: string): boolean {
  return Object.hasOwn(FLOATS, datatype)
}

/** Begin and end of each row: the last axis. */
export function* rowsOf(count: number, shape: readonly number[]): Generator<[number, number]> {
  const size = shape.at(-1) ?? 1
  if (size > 0) for (let at = 0; at + size <= count; at += size) yield [at, at + size]
}

function asFloats(data: ArrayLike<unknown>): Float64Array | undefined {
  const floats = new Float64Array(data.length)
  for (let index = 0; index < data.length; index += 1) {
    const value = data[index]
    if (typeof value === 'number') floats[index] = value
    else if (typeof value === 'bigint') floats[index] = Number(value)
    else if (value === null) floats[index] = Number.NaN
    else return undefined
  }
  return floats
}

function hasFraction(data: Float64Array): boolean {
  return data.some((value) => !Number.isInteger(value) && Number.isFinite(value))
}

type RowTest = (data: Float64Array, start: number, end: number) => boolean

function everyRow(data: Float64Array, shape: readonly number[], test: RowTest): boolean {
  if (data.length === 0) return false
  for (const [start, end] of rowsOf(data.length, shape)) if (!test(data, start, end)) return false
  return true
}

function isProbabilities(data: Float64Array, start: number, end: number): boolean {
  if (end - start < MIN_CLASSES) return false
  let sum = 0
  for (let index = start; index < end; index += 1) {
    const value = data[index] ?? 0
    if (!(value >= 0 && value <= 1)) return false
    sum += value
  }
  return Math.abs(sum - 1) <= SUM_ERROR
}

function isUnit(data: Float64Array, start: number, end: number): boolean {
  if (end - start < MIN_UNIT_LENGTH) return false
  let squares = 0
  for (let index = start; index < end; index += 1) squares += (data[index] ?? 0) ** 2
  return Math.abs(Math.sqrt(squares) - 1) <= LENGTH_ERROR
}

function isLong(_data: Float64Array, start: number, end: number): boolean {
  return end - start >= LONG_VECTOR
}
