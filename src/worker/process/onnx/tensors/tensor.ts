/**
 * Tensors as the worker holds them: an Open Inference Protocol datatype, a shape, and the elements in
 * row-major order in the machine's byte order (little-endian on every platform onnxruntime-node has).
 */
import type { Datatype } from '../../../../contract/datatypes.ts'

export type { Datatype }

export type NumericDatatype = Exclude<Datatype, 'BYTES'>

/** How each datatype's elements are held. FP16 is raw bits, BOOL bytes 0 and 1. */
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

/** A tensor of anything but text. `data.length` is the product of `shape`. */
export interface NumericTensor {
  readonly datatype: NumericDatatype
  readonly shape: readonly number[]
  readonly data: NumericData
}

/** A tensor of text. Elements that are not plain text are mapped, see `byte-strings.ts`. */
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

/** Zeroed room for `count` elements. */
export function allocateData<D extends NumericDatatype>(datatype: D, count: number): DataOf[D] {
  return new ARRAY_TYPES[datatype](count)
}

/** Little-endian bytes as elements: a view where the bytes are aligned, else a copy. */
export function dataFromBytes(datatype: NumericDatatype, bytes: Uint8Array): NumericData {
  const type = ARRAY_TYPES[datatype]
  const length = Math.floor(bytes.byteLength / type.BYTES_PER_ELEMENT)
  if (bytes.byteOffset % type.BYTES_PER_ELEMENT === 0) {
    return new type(bytes.buffer, bytes.byteOffset, length)
  }
  // Node's pool for small buffers hands out multiples of 8 bytes, and spares the cost of a memory block each.
  const copy = Buffer.allocUnsafe(bytes.byteLength)
  copy.set(bytes)
  return new type(copy.buffer, copy.byteOffset, length)
}

/** A view of the elements' bytes. */
export function bytesOfData(data: NumericData): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

/** Product of the dimensions: 1 for a scalar, and more than `Number.MAX_SAFE_INTEGER` means "too many to count". */
export function elementCount(shape: readonly number[]): number {
  let count = 1
  let isEmpty = false
  for (const dimension of shape) {
    if (dimension === 0) isEmpty = true
    count *= dimension
  }
  return isEmpty ? 0 : count
}
