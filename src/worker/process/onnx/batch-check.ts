/**
 * Does a model treat its first dimension as a batch? A symbolic one can mean something else: softmax over it,
 * time steps, a mean over all rows. Then joined requests would change each other's answers, silently.
 */
import { halfToNumber } from './half.ts'
import { joinRows, rowsOf, splitRows } from './rows.ts'
import { allocateData, bytesOfData } from './tensor.ts'
import type { Datatype, NumericData, NumericTensor, Tensor } from './tensor.ts'

type Run = (inputs: readonly Tensor[]) => readonly Tensor[]

/** Kernels may add in another order for more rows, so floats need not be equal to the last bit. */
const TOLERANCE = 1e-3
const HALF_TOLERANCE = 1e-2
const FLOATS: ReadonlySet<Datatype> = new Set<Datatype>(['FP16', 'FP32', 'FP64'])
/** Bits of the half 1. */
const HALF_ONE = 0x3c00

/**
 * Runs a request and two variants of it alone and together, and compares. `rows` is the first dimension of all
 * its inputs.
 * @throws ServerError when the request itself fails, which says nothing about the model.
 */
export function isBatchModel(run: Run, sample: readonly Tensor[], rows: number): boolean {
  const members = [{ inputs: sample, outputs: run(sample) }]
  // Moved elements find what depends on order (a sort), equal ones what does not (a mean).
  for (const variant of [sample.map(movedByOne), sample.map(allEqual)]) {
    const outputs = attempt(run, variant)
    if (outputs !== undefined) members.push({ inputs: variant, outputs })
  }
  const columns = sample.map((own, index) =>
    joinRows(members.map(({ inputs }) => inputs[index] ?? own)),
  )
  const together = attempt(run, columns) ?? []
  return (
    sample.length > 0 &&
    members.every(({ outputs }) => outputs.length === together.length) &&
    together.every((output, index) => {
      if (rowsOf(output) !== members.length * rows) return false
      const pieces = splitRows(
        output,
        members.map(() => rows),
      )
      return members.every(({ outputs }, member) => isClose(pieces[member], outputs[index]))
    })
  )
}

function attempt(run: Run, inputs: readonly Tensor[]): readonly Tensor[] | undefined {
  try {
    return run(inputs)
  } catch {
    return undefined
  }
}

/** The same elements one place further, which are as valid. */
function movedByOne(tensor: Tensor): Tensor {
  if (tensor.datatype === 'BYTES') {
    return { ...tensor, data: [...tensor.data.slice(1), ...tensor.data.slice(0, 1)] }
  }
  const { datatype, shape } = tensor
  const data = allocateData(datatype, tensor.data.length)
  const size = data.BYTES_PER_ELEMENT
  const from = bytesOfData(tensor.data)
  const to = bytesOfData(data)
  to.set(from.subarray(size))
  to.set(from.subarray(0, size), Math.max(0, to.length - size))
  return { datatype, shape, data }
}

/** The element that is furthest from the mean everywhere; where all are equal, 1, or 0 if they are 1. */
function allEqual(tensor: Tensor): Tensor {
  if (tensor.datatype === 'BYTES') {
    return { ...tensor, data: tensor.data.map(() => tensor.data[0] ?? '') }
  }
  const { datatype, shape } = tensor
  const numbers = numbersOf(tensor)
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length
  const distances = numbers.map((value) => Math.abs(value - mean))
  const furthest = distances.reduce(
    (best, distance, index) => (distance > (distances[best] ?? 0) ? index : best),
    0,
  )
  const data = allocateData(datatype, tensor.data.length)
  const size = data.BYTES_PER_ELEMENT
  const to = bytesOfData(data)
  to.set(bytesOfData(tensor.data).subarray(furthest * size, (furthest + 1) * size))
  if (numbers.every((value) => value === numbers[0])) {
    setFirst(data, datatype === 'FP16' ? HALF_ONE : 1)
  }
  if (data.length > 1) to.fill(to.subarray(0, size), size)
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
  const [ours, theirs] = [numbersOf(actual), numbersOf(expected)]
  const largest = theirs.reduce((most, value) => Math.max(most, Math.abs(value) || 0), 0)
  const tolerance = (actual.datatype === 'FP16' ? HALF_TOLERANCE : TOLERANCE) * largest
  return ours.every((value, index) => {
    const other = theirs[index] ?? 0
    return Object.is(value, other) || Math.abs(value - other) <= tolerance
  })
}

function numbersOf({ datatype, data }: NumericTensor): Float64Array {
  const numbers = new Float64Array(data.length)
  for (const [index, value] of data.entries()) {
    numbers[index] = datatype === 'FP16' ? halfToNumber(Number(value)) : Number(value)
  }
  return numbers
}
