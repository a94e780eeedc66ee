/** Compares two results and allows differences from rounding. */
import { halfToNumber } from '../tensors/half.ts'
import { bytesOfData } from '../tensors/tensor.ts'
import type { Datatype, NumericTensor, Tensor } from '../tensors/tensor.ts'

/** How far float results may differ. */
interface Tolerance {
  /**
   * Relative to the largest element of the same column. With more samples, kernels may add numbers
   * in another order.
   */
  readonly relative: number
  /** Minimum difference, for columns that are nearly 0, such as unlikely classes. */
  readonly floor: number
}

const TOLERANCES: Readonly<Partial<Record<Datatype, Tolerance>>> = {
  FP16: { relative: 1e-2, floor: 1e-2 },
  FP32: { relative: 1e-3, floor: 1e-4 },
  FP64: { relative: 1e-3, floor: 1e-4 },
}

/**
 * Allowed difference of one output: one number for each column, which is a position on the last
 * axis.
 */
export type Allowance = Float64Array

/**
 * Computes the allowance from results that are known to be correct. Each column has its own scale:
 * otherwise an error in a small score beside a large box coordinate would pass as rounding.
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

/** A one-dimensional result has one column: its only axis is the batch dimension. */
function columnsOf({ shape }: Tensor): number {
  return shape.length < 2 ? 1 : Math.max(1, shape.at(-1) ?? 1)
}

/** @param isLenient Accept any value where the expected value is not a finite number. */
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

/** The elements as numbers; FP16 bits are converted. */
export function numbersOf({ datatype, data }: NumericTensor): Float64Array {
  const numbers = new Float64Array(data.length)
  for (const [index, value] of data.entries()) {
    numbers[index] = datatype === 'FP16' ? halfToNumber(Number(value)) : Number(value)
  }
  return numbers
}
