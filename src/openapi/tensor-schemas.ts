/**
 * Tensors as JSON Schema, and small example values. `/predictions` takes nested arrays, the Open
 * Inference Protocol flat ones.
 */
import type { TensorMetadata } from '../models/model-metadata.ts'
import type { JsonSchema } from './types.ts'

/** An example with more elements would be longer than the rest of the document. */
const MAX_EXAMPLE_ELEMENTS = 1024

/**
 * Generators turn an array with a fixed number of elements into a tuple and write each element out.
 * For an image that gives a file of several megabytes, so a larger array has a maximum length only.
 */
const MAX_TUPLE_ELEMENTS = 64

const ELEMENTS: ReadonlyMap<string, JsonSchema> = new Map<string, JsonSchema>([
  ['BOOL', { type: 'boolean' }],
  ['UINT8', { type: 'integer', minimum: 0, maximum: 255 }],
  ['UINT16', { type: 'integer', minimum: 0, maximum: 65_535 }],
  ['UINT32', { type: 'integer', minimum: 0, maximum: 4_294_967_295 }],
  ['UINT64', { type: 'integer', minimum: 0 }],
  ['INT8', { type: 'integer', minimum: -128, maximum: 127 }],
  ['INT16', { type: 'integer', minimum: -32_768, maximum: 32_767 }],
  ['INT32', { type: 'integer', format: 'int32' }],
  ['INT64', { type: 'integer', format: 'int64' }],
  ['FP16', { type: 'number', format: 'float' }],
  ['FP32', { type: 'number', format: 'float' }],
  ['FP64', { type: 'number', format: 'double' }],
  ['BYTES', { type: 'string' }],
])

/**
 * Whether a tensor is in a request or a response. In a response `null` stands for NaN and the
 * infinities.
 */
export type Direction = 'request' | 'answer'

/** Schema of one element of a tensor. */
export function elementSchema(datatype: string, direction: Direction): JsonSchema {
  const element = ELEMENTS.get(datatype) ?? {}
  if (direction === 'request' || element['type'] !== 'number') return element
  return { ...element, type: ['number', 'null'] }
}

/** Nested arrays of the tensor's rank. For a scalar it is the schema of the element. */
export function nestedSchema(tensor: TensorMetadata, direction: Direction): JsonSchema {
  const { datatype } = tensor
  if (tensor.anyShape === true) return { description: `${tensorText(tensor)}.` }
  return nestedArrays(tensor, labelSchema(tensor) ?? elementSchema(datatype, direction))
}

/** Schema of an element that is a label: a text, or a class number that becomes one. */
export function labelSchema({ datatype, labels, form }: TensorMetadata): JsonSchema | undefined {
  if (labels === undefined || (datatype !== 'BYTES' && form !== 'label')) return undefined
  return { type: 'string', enum: [...new Set(labels)] }
}

/** Nested arrays of a tensor's shape, with `element` in place of its elements. */
export function nestedArrays(tensor: TensorMetadata, element: JsonSchema): JsonSchema {
  const { shape, dimensions } = tensor
  let schema = element
  let elements = 1
  for (const [axis, size] of [...shape.entries()].toReversed()) {
    const isTuple = size >= 0 && elements * size <= MAX_TUPLE_ELEMENTS
    if (isTuple) elements *= size
    const text = dimensionText(size, dimensions[axis])
    schema = {
      type: 'array',
      description: axis === 0 ? `${tensorText(tensor)}. ${text}` : text,
      ...(isTuple ? { minItems: size } : {}),
      ...(size >= 0 ? { maxItems: size } : {}),
      items: schema,
    }
  }
  return shape.length === 0 ? { ...schema, description: `${tensorText(tensor)}.` } : schema
}

/**
 * The `shape` of a tensor in the Open Inference Protocol: its rank, and the bounds of its sizes if
 * all are fixed.
 * `prefixItems` would describe each size, but client generators do not support it: they make a list
 * of any values, or read `items` as one more size.
 */
export function shapeSchema(tensor: TensorMetadata): JsonSchema {
  const { shape, anyShape } = tensor
  const description = `${tensorText(tensor).replace(/^\w+ /, '')}.`
  if (anyShape === true) {
    return { type: 'array', description, items: { type: 'integer', minimum: 0 } }
  }
  const isFixed = shape.length > 0 && shape.every((size) => size >= 0)
  const bounds = isFixed
    ? { minimum: Math.min(...shape), maximum: Math.max(...shape) }
    : { minimum: 0 }
  return {
    type: 'array',
    description,
    minItems: shape.length,
    maxItems: shape.length,
    items: { type: 'integer', ...bounds },
  }
}

/** The type of a tensor as text: `FP32 [N,4]`. */
export function tensorText({ datatype, shape, dimensions, anyShape }: TensorMetadata): string {
  if (anyShape === true) return `${datatype} of any shape`
  const sizes = shape.map((size, axis) => (size >= 0 ? size : dimensions[axis] || '?'))
  return `${datatype} [${sizes.join(',')}]`
}

/** A valid shape for the tensor: each dynamic dimension is 1. */
export function exampleShape({ shape }: TensorMetadata): number[] {
  return shape.map((size) => Math.max(size, size < 0 ? 1 : 0))
}

/** Whether all tensors have a shape and are together small enough for an example. */
export function fitExample(tensors: readonly TensorMetadata[]): boolean {
  if (tensors.some(({ anyShape }) => anyShape)) return false
  const sizes = tensors.map((tensor) => product(exampleShape(tensor)))
  return sizes.reduce((sum, size) => sum + size, 0) <= MAX_EXAMPLE_ELEMENTS
}

/** Example elements as a flat array. */
export function flatExample(tensor: TensorMetadata): unknown[] {
  const size = product(exampleShape(tensor))
  return Array.from({ length: size }, () => exampleElement(tensor.datatype))
}

/** Example elements as nested arrays. */
export function nestedExample(tensor: TensorMetadata): unknown {
  return exampleShape(tensor).reduceRight<unknown>(
    (inner, size) => Array.from({ length: size }, () => inner),
    exampleElement(tensor.datatype),
  )
}

function dimensionText(size: number, name: number | string | undefined): string {
  if (size >= 0) return `Dimension of size ${size}.`
  return name ? `Dimension "${name}" of any size.` : 'Dimension of any size.'
}

/**
 * Values that most models accept: 0 is a valid index of every table, 0.5 has a logarithm, and `1`
 * can be read as a number.
 */
function exampleElement(datatype: string): unknown {
  switch (datatype) {
    case 'BOOL':
      return true
    case 'BYTES':
      return '1'
    case 'FP16':
    case 'FP32':
    case 'FP64':
      return 0.5
    default:
      return 0
  }
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((result, size) => result * size, 1)
}
