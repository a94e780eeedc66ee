/** Reads the elements of a tensor from bytes. */
import type { Values } from '../comparison.ts'

const PREFIX_BYTES = 4
const SUBNORMAL_STEP = 2 ** -24

interface ArrayType {
  readonly BYTES_PER_ELEMENT: number
  new (buffer: ArrayBufferLike, offset: number, length: number): ArrayLike<number | bigint>
}

const ARRAYS: Readonly<Record<string, ArrayType>> = {
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
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
}

/**
 * The elements in little-endian bytes.
 * @throws Error for an unknown datatype, or if the bytes do not fit the shape.
 */
export function valuesFromBytes(datatype: string, shape: readonly number[], bytes: Buffer): Values {
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0))
    throw new RangeError('a dimension is not a whole number of at least 0')
  const count = shape.reduce((product, size) => product * size, 1)
  if (datatype === 'BYTES') return { datatype, shape, data: textsOf(bytes, count) }
  const type = Object.hasOwn(ARRAYS, datatype) ? ARRAYS[datatype] : undefined
  if (type === undefined) throw new TypeError('the datatype is not known')
  if (count * type.BYTES_PER_ELEMENT !== bytes.length)
    throw new RangeError('the bytes do not fit the shape')
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : copyOf(bytes)
  const data = new type(aligned.buffer, aligned.byteOffset, count)
  if (datatype === 'FP16') return { datatype, shape, data: Float32Array.from(data, fromHalf) }
  if (datatype === 'BF16') return { datatype, shape, data: Float32Array.from(data, fromBrain) }
  return { datatype, shape, data }
}

function copyOf(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes)
}

/** Texts with their length in four bytes. Bytes stay distinct: each becomes one character. */
function textsOf(bytes: Buffer, count: number): string[] {
  const texts: string[] = []
  for (let at = 0; at < bytes.length;) {
    const start = at + PREFIX_BYTES
    const end = start > bytes.length ? bytes.length + 1 : start + bytes.readUInt32LE(at)
    if (end > bytes.length) throw new RangeError('the bytes are truncated')
    texts.push(bytes.toString('latin1', start, end))
    at = end
  }
  if (texts.length !== count) throw new RangeError('the bytes do not fit the shape')
  return texts
}

/** The value of a float with 5 bits for the exponent and 10 for the fraction. */
function fromHalf(bits: number | bigint): number {
  const number = Number(bits)
  const exponent = (number >> 10) & 0x1f
  const fraction = number & 0x3ff
  const sign = number & 0x8000 ? -1 : 1
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * fraction * SUBNORMAL_STEP
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

const word = new Uint32Array(1)
const float = new Float32Array(word.buffer)

/** The value of the upper half of an FP32 number. */
function fromBrain(bits: number | bigint): number {
  word[0] = Number(bits) << 16
  return float[0] ?? 0
}
