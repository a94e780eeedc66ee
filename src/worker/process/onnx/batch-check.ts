/**
 * Does a model treat its first dimension as a batch? A symbolic one can mean something else: softmax over it,
 * time steps, a mean over all rows. Then joined requests would change each other's answers, silently.
 */
import { halfToNumber } from './half.ts'
import { joinRows, rowsOf, splitRows } from './rows.ts'
import { allocateData, bytesOfData } from './tensor.ts'
import type { Datatype, NumericData, Tensor } from './tensor.ts'

type Run = (inputs: readonly Tensor[]) => Promise<readonly Tensor[]>

/** Kernels may add in another order for more rows, so floats need not be equal to the last bit. */
const TOLERANCE = 1e-3
const HALF_TOLERANCE = 1e-2
const FLOATS: ReadonlySet<Datatype> = new Set<Datatype>(['FP16', 'FP32', 'FP64'])
/** Bits of the half 1. */
const HALF_ONE = 0x3c00

/**
 * Runs a request and a variant of it alone and together, and compares. `rows` is the first dimension of all its inputs.
 * @throws ServerError when the request itself fails, which says nothing about the model.
 */
export async function isBatchModel(
  run: Run,
  sample: readonly Tensor[],
  rows: number,
): Promise<boolean> {
  const alone = await run(sample)
  const variant = sample.map(variantOf)
  const variantAlone = await run(variant).catch(() => undefined)
  const other = variantAlone === undefined ? sample : variant
  const otherAlone = variantAlone ?? alone
  const together = await run(
    sample.map((tensor, index) => joinRows([tensor, other[index] ?? tensor])),
  ).catch(() => undefined)
  if (together === undefined) return false
  return together.every((output, index) => {
    if (rowsOf(output) !== 2 * rows) return false
    const [first, second] = splitRows(output, [rows, rows])
    return isClose(first, alone[index]) && isClose(second, otherAlone[index])
  })
}

/**
 * Other elements that are as valid: all moved by one place. Where they are all equal, which moving does not
 * change, the first becomes 1, or 0 if they were 1.
 */
function variantOf(tensor: Tensor): Tensor {
  const { shape } = tensor
  if (tensor.datatype === 'BYTES') {
    return { datatype: 'BYTES', shape, data: [...tensor.data.slice(1), ...tensor.data.slice(0, 1)] }
  }
  const { datatype } = tensor
  const data = allocateData(datatype, tensor.data.length)
  const size = data.BYTES_PER_ELEMENT
  const from = bytesOfData(tensor.data)
  const to = bytesOfData(data)
  to.set(from.subarray(size))
  to.set(from.subarray(0, size), Math.max(0, to.length - size))
  if (to.equals(from) && data.length > 0) setFirst(data, datatype === 'FP16' ? HALF_ONE : 1)
  return { datatype, shape, data }
}

function setFirst(data: NumericData, one: number): void {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    data[0] = data[0] === 1n ? 0n : 1n
  } else {
    data[0] = data[0] === one ? 0 : one
  }
}

function isClose(actual: Tensor | undefined, expected: Tensor | undefined): boolean {
  if (actual === undefined || expected === undefined) return false
  if (actual.data.length !== expected.data.length) return false
  if (actual.datatype === 'BYTES' || expected.datatype === 'BYTES') {
    return actual.data.every((element, index) => element === expected.data[index])
  }
  if (!FLOATS.has(actual.datatype)) {
    return bytesOfData(actual.data).equals(bytesOfData(expected.data))
  }
  const isHalf = actual.datatype === 'FP16'
  const [ours, theirs] = [numbersOf(actual.data, isHalf), numbersOf(expected.data, isHalf)]
  const largest = theirs.reduce((most, value) => Math.max(most, Math.abs(value) || 0), 0)
  const tolerance = (isHalf ? HALF_TOLERANCE : TOLERANCE) * largest
  return ours.every((value, index) => {
    const other = theirs[index] ?? 0
    return Object.is(value, other) || Math.abs(value - other) <= tolerance
  })
}

function numbersOf(data: NumericData, isHalf: boolean): Float64Array {
  const numbers = new Float64Array(data.length)
  for (const [index, value] of data.entries()) {
    numbers[index] = isHalf ? halfToNumber(Number(value)) : Number(value)
  }
  return numbers
}
