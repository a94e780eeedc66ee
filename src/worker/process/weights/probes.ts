/** Inputs for the check that the cached model gives the same results as the original. */
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import { allocateData, elementCount } from '../onnx/tensors/tensor.ts'
import type { NumericDatatype, Tensor } from '../onnx/tensors/tensor.ts'

/** One tensor for each input. */
export type Probe = readonly Tensor[]

/** A probe with more elements would take too much memory. */
const MAX_ELEMENTS = 16 * 1024 * 1024
/** Sizes of variable dimensions. */
const SIZES = [1, 2, 3, 8]
/** Integers stay below this, so that they are valid as indices of a small table. */
const MAX_INTEGER = 3
/** Bits of 1.0 in FP16. */
const HALF_ONE = 0x3c00

/**
 * Returns the probes for a model: the zeros of the warm-up run, then random numbers with several
 * sizes of the variable dimensions. They are the same in every process.
 */
export function probesOf(inputs: readonly TensorSpec[]): readonly Probe[] {
  const random = randomBits(0x5eed)
  const probes = [inputs.map((spec) => tensorOf(spec, 1, () => 0))]
  for (const size of SIZES) probes.push(inputs.map((spec) => tensorOf(spec, size, random)))
  // Sums of large numbers show whether operators add up in another order.
  probes.push(inputs.map((spec) => tensorOf(spec, 2, random, 1000)))
  const complete = probes.filter((probe) => probe.every((tensor) => tensor !== undefined))
  return hasVariable(inputs) ? complete : [...complete.slice(0, 2), ...complete.slice(-1)]
}

function hasVariable(inputs: readonly TensorSpec[]): boolean {
  return inputs.some(({ shape, anyShape }) => anyShape === true || shape.some((size) => size < 0))
}

/** Returns `undefined` if the tensor would be too large. */
function tensorOf(
  { datatype, shape: declared, anyShape }: TensorSpec,
  size: number,
  random: () => number,
  scale = 1,
): Tensor | undefined {
  const shape = anyShape === true ? [size] : declared.map((each) => (each < 0 ? size : each))
  const count = elementCount(shape)
  if (count > MAX_ELEMENTS) return undefined
  if (datatype === 'BYTES') {
    return { datatype, shape, data: Array.from({ length: count }, () => stringOf(random())) }
  }
  return { datatype, shape, data: numbers(datatype, count, random, scale) }
}

/** The warm-up run uses empty strings. Digits are valid where a model reads a number. */
function stringOf(bits: number): string {
  return bits === 0 ? '' : String(bits & 3)
}

function numbers(datatype: NumericDatatype, count: number, random: () => number, scale: number) {
  const data = allocateData(datatype, count)
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    for (let index = 0; index < count; index += 1) data[index] = BigInt(random() % MAX_INTEGER)
    return data
  }
  for (let index = 0; index < count; index += 1) data[index] = numberOf(datatype, random(), scale)
  return data
}

function numberOf(datatype: NumericDatatype, bits: number, scale: number): number {
  switch (datatype) {
    case 'BOOL':
      return bits & 1
    case 'FP32':
    case 'FP64':
      return bits === 0 ? 0 : (bits / 2 ** 31 - 1) * scale
    case 'FP16':
      // The sign, an exponent of 0 to -3, and any fraction.
      return bits === 0 ? 0 : ((bits & 0x8000) | (HALF_ONE - (bits & 0xc00))) ^ (bits & 0x3ff)
    default:
      return bits % MAX_INTEGER
  }
}

/** The generator mulberry32: unsigned numbers of 32 bits. */
function randomBits(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}
