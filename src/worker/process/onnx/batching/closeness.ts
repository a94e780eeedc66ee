/** Are two results the same but for rounding? */
import { halfToNumber } from '../tensors/half.ts'
import { bytesOfData } from '../tensors/tensor.ts'
import type { Datatype, NumericTensor, Tensor } from '../tensors/tensor.ts'

/** How far results of floats may lie apart. */
interface Tolerance {
  /** Of the largest element of the same column: kernels add in another order for more samples. */
  readonly relative: number
  /** At least so much, for columns that are nearly 0, such as unlikely classes. */
  readonly floor: number
}

const TOLERANCES: Readonly<Partial<Record<Datatype, Tolerance>>> = {
  FP16: { relative: 1e-2, floor: 1e-2 },
  FP32: { relative: 1e-3, floor: 1e-4 },
  FP64: { relative: 1e-3, floor: 1e-4 },
}

/** What is allowed for one output: one number for each column, which is a place of the last axis. */
export type Allowance = Float64Array

/**
 * From results that are known to be right. Columns have a scale each: a small score beside a large box must not
 * be taken for rounding.
 */
export function allowanceOf(results: readonly Tensor[]): Allowance {
  const [first] = results
  const tolerance = first && TOLERANCES[first.datatype]
  const columns = first === undefined ? 1 : columnsOf(first)
  const largest = new Float64Array(columns)
  for (const result of results) {
    if (result.datatype === 'BYTES') continue
    for (const [index, value] of numbersOf(result).entries()) {
      const column = index % columns
      const size = Math.abs(value)
      if (size > (largest[column] ?? 0) && Number.isFinite(size)) largest[column] = size
    }
  }
  const { relative = 0, floor = 0 } = tolerance ?? {}
  const least = floor * largest.reduce((most, size) => Math.min(1, Math.max(most, size)), 0)
  return largest.map((size) => Math.max(relative * size, least))
}

/** A list has one column: its only axis is that of the samples. */
function columnsOf({ shape }: Tensor): number {
  return shape.length < 2 ? 1 : Math.max(1, shape.at(-1) ?? 1)
}

/** `isLenient`: where the right result is no finite number, any will do. */
export function isClose(
  actual: Tensor,
  expected: Tensor,
  allowance: Allowance,
  isLenient: boolean,
): boolean {
  if (actual.datatype === 'BYTES' || expected.datatype === 'BYTES') {
    return (
      actual.datatype === expected.datatype &&
      actual.data.length === expected.data.length &&
      actual.data.every((element, index) => element === expected.data[index])
    )
  }
  if (actual.data.length !== expected.data.length) return false
  if (TOLERANCES[expected.datatype] === undefined) {
    return bytesOfData(actual.data).equals(bytesOfData(expected.data))
  }
  const right = numbersOf(expected)
  const columns = allowance.length
  return numbersOf(actual).every((value, index) => {
    const other = right[index] ?? 0
    if (Object.is(value, other) || (isLenient && !Number.isFinite(other))) return true
    return Math.abs(value - other) <= (allowance[index % columns] ?? 0)
  })
}

/** The elements as numbers, halves included. */
export function numbersOf({ datatype, data }: NumericTensor): Float64Array {
  const numbers = new Float64Array(data.length)
  for (const [index, value] of data.entries()) {
    numbers[index] = datatype === 'FP16' ? halfToNumber(Number(value)) : Number(value)
  }
  return numbers
}
