/**
 * Tensors in the worker: a datatype of the Open Inference Protocol, a shape, and the elements in
 * row-major order and in the machine's byte order (little-endian on every platform of
 * onnxruntime-node).
 */
import type { Datatype } from '../../../../contract/datatypes.ts'

export type { Datatype }

export type NumericDatatype = Exclude<Datatype, 'BYTES'>

/** Array type of each datatype's elements. FP16 is stored as bits, BOOL as bytes 0 and 1. */
export interface DataOf {
  BOOL: Uint8Array
  UINT8: Uint8Array
  UINT16: Uint16Array
  UINT32: Uint32Array
  UINT64: BigUint64Array
  INT8: Int8Array
  INT16: Int16Array
  INT32: Int32Array
  INT64: BigInt64Array
  FP16: Uint16Array
  FP32: Float32Array
  FP64: Float64Array
}

export type NumericData = DataOf[NumericDatatype]

/** A tensor of any datatype except BYTES. `data.length` is the product of `shape`. */
export interface NumericTensor {
  readonly datatype: NumericDatatype
  readonly shape: readonly number[]
  readonly data: NumericData
}

/** A tensor of strings. Elements that are not plain text are mapped, see `byte-strings.ts`. */
export interface BytesTensor {
  readonly datatype: 'BYTES'
  readonly shape: readonly number[]
  readonly data: string[]
}

export type Tensor = NumericTensor | BytesTensor

interface ArrayType<Data> {
  readonly BYTES_PER_ELEMENT: number
  new (length: number): Data
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Data
}

const ARRAY_TYPES: { readonly [D in NumericDatatype]: ArrayType<DataOf[D]> } = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
}

/** Bytes of one element. */
export function elementBytes(datatype: NumericDatatype): number {
  return ARRAY_TYPES[datatype].BYTES_PER_ELEMENT
}

/** Allocates `count` elements that are set to zero. */
export function allocateData<D extends NumericDatatype>(datatype: D, count: number): DataOf[D] {
  return new ARRAY_TYPES[datatype](count)
}

/**
 * Interprets little-endian bytes as elements: a view if the bytes are aligned, otherwise a copy.
 */
export function dataFromBytes(datatype: NumericDatatype, bytes: Uint8Array): NumericData {
  const type = ARRAY_TYPES[datatype]
  const length = Math.floor(bytes.byteLength / type.BYTES_PER_ELEMENT)
  if (bytes.byteOffset % type.BYTES_PER_ELEMENT === 0) {
    return new type(bytes.buffer, bytes.byteOffset, length)
  }
  // Node's pool for small buffers returns offsets that are multiples of 8, and saves one memory
  // block per tensor.
  const copy = Buffer.allocUnsafe(bytes.byteLength)
  copy.set(bytes)
  return new type(copy.buffer, copy.byteOffset, length)
}

/** A view of the elements' bytes. */
export function bytesOfData(data: NumericData): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

/**
 * Product of the dimensions; 1 for a scalar. A result above `Number.MAX_SAFE_INTEGER` is not exact
 * and means "too many".
 */
export function elementCount(shape: readonly number[]): number {
  let count = 1
  let isEmpty = false
  for (const dimension of shape) {
    if (dimension === 0) isEmpty = true
    count *= dimension
  }
  return isEmpty ? 0 : count
}
