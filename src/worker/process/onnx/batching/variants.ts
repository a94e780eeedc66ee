/** Other inputs like those of a request, to try a model with: what one request brings along says little. */
import { halfToNumber, numberToHalf } from '../tensors/half.ts'
import { allocateData, bytesOfData } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { numbersOf } from './closeness.ts'

/** Inputs of a trial run. */
export interface Variant {
  readonly inputs: readonly Tensor[]
  /** Far from the range of the request: rounding may be as far from its results. */
  readonly isExtreme: boolean
}

/** Far from 1, below 0, and no power of 2. */
const FACTOR = -2.7
const LARGE = 1000
/** Bits of the half 1. */
const HALF_ONE = 0x3c00

/**
 * The request itself and others: moved elements find what depends on order (a sort), equal ones what does not
 * (a mean), other ranges what depends on the largest element. Integers and texts may be indices or words that
 * the model knows: they keep their values and change places.
 */
export function variantsOf(sample: readonly Tensor[]): readonly Variant[] {
  const variant = (change: (tensor: Tensor) => Tensor, isExtreme = false): Variant => ({
    inputs: sample.map(change),
    isExtreme,
  })
  return [
    { inputs: sample, isExtreme: false },
    variant((tensor) => moved(tensor, 1)),
    variant(allEqual),
    variant((tensor) => mapped(tensor, (value) => value * FACTOR) ?? moved(tensor, 2)),
    variant((tensor) => mapped(tensor, extreme) ?? moved(tensor, 3), true),
  ]
}

/** In turn: nothing, far more, shifted, turned round. */
function extreme(value: number, index: number): number {
  return [0, value * LARGE, value + LARGE, -value][index % 4] ?? 0
}

/** Floats changed one by one; `undefined` for other elements. */
function mapped(
  tensor: Tensor,
  change: (value: number, index: number) => number,
): Tensor | undefined {
  const { datatype, shape } = tensor
  if (datatype !== 'FP16' && datatype !== 'FP32' && datatype !== 'FP64') return undefined
  const data = allocateData(datatype, tensor.data.length)
  for (const [index, value] of tensor.data.entries()) {
    const isHalf = datatype === 'FP16'
    const number = change(isHalf ? halfToNumber(Number(value)) : Number(value), index)
    data[index] = isHalf ? numberToHalf(number) : number
  }
  return { datatype, shape, data }
}

/** The same elements some places further, which are as valid. */
function moved(tensor: Tensor, places: number): Tensor {
  const count = tensor.data.length
  const by = count === 0 ? 0 : places % count
  if (tensor.datatype === 'BYTES') {
    return { ...tensor, data: [...tensor.data.slice(by), ...tensor.data.slice(0, by)] }
  }
  const { datatype, shape } = tensor
  const data = allocateData(datatype, count)
  const size = data.BYTES_PER_ELEMENT * by
  const from = bytesOfData(tensor.data)
  const to = bytesOfData(data)
  to.set(from.subarray(size))
  to.set(from.subarray(0, size), to.length - size)
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
    const one = datatype === 'FP16' ? HALF_ONE : 1
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
      data[0] = data[0] === 1n ? 0n : 1n
    } else {
      data[0] = data[0] === one ? 0 : one
    }
  }
  if (data.length > 1) to.fill(to.subarray(0, size), size)
  return { datatype, shape, data }
}
