/** Reads arrays of `numpy.save` (`.npy`): one tensor with its own type and shape. */
import { ServerError } from '../../../../errors.ts'
import { OVERFLOW } from '../json/float-sink.ts'
import { NARROW_RANGES, WIDE_RANGES } from '../json/integer-sink.ts'
import { bytesToElement, textToElement } from '../tensors/byte-strings.ts'
import { countText, quote, shapeText } from '../tensors/error-text.ts'
import { halfToNumber, numberToHalf } from '../tensors/half.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { adaptShape, checkDeclaredShape } from '../tensors/shape.ts'
import { allocateData, dataFromBytes, elementCount } from '../tensors/tensor.ts'
import type { NumericData, NumericDatatype, Tensor } from '../tensors/tensor.ts'
import { damaged, readNpyHeader } from './npy-header.ts'
import type { NpyHeader } from './npy-header.ts'

const LAST_CODE_POINT = 0x10_ffff

/**
 * Converts the file to the input's tensor. Elements are converted like numbers in JSON: to floats
 * of any width, and to integers that can hold them. The file's shape is adapted like the shape of
 * nested arrays.
 * @param declaredShape Replaces the file's own shape.
 * @throws ServerError 400, or 415 for arrays that no input accepts
 */
export function tensorFromNpy(
  spec: TensorSpec,
  bytes: Buffer,
  declaredShape?: readonly number[],
): Tensor {
  const header = readNpyHeader(bytes)
  const count = elementCount(header.shape)
  const data = bytes.subarray(header.dataAt)
  if (count * header.size !== data.length) {
    const wanted = Number.isSafeInteger(count)
      ? countText(count, 'element')
      : 'more elements than supported'
    const found = countText(data.length, 'byte')
    throw damaged(
      `shape ${shapeText(header.shape)} requires ${wanted}, but ${found} follow the header`,
    )
  }
  const shape =
    declaredShape === undefined
      ? adaptShape(spec, header.shape, count)
      : checkDeclaredShape(spec, declaredShape, count)
  return convert(spec, header, inRowOrder(data, header), shape)
}

function convert(
  spec: TensorSpec,
  header: NpyHeader,
  bytes: Buffer,
  shape: readonly number[],
): Tensor {
  const { datatype } = spec
  const isText = header.kind === 'S' || header.kind === 'U'
  if (isText !== (datatype === 'BYTES')) throw mismatch(spec, header)
  if (datatype === 'BYTES') return { datatype, shape, data: textsOf(bytes, header) }
  const source = littleEndian(bytes, header)
  const own = sourceType(header)
  if (own === datatype && own !== 'BOOL') {
    return { datatype, shape, data: dataFromBytes(own, source) }
  }
  const isBoolean = header.kind === 'b'
  if (isBoolean !== (datatype === 'BOOL') && (isBoolean || header.kind === 'f')) {
    throw mismatch(spec, header)
  }
  const isFloat = datatype === 'FP16' || datatype === 'FP32' || datatype === 'FP64'
  if (header.kind === 'f' && !isFloat) throw mismatch(spec, header)
  return { datatype, shape, data: converted(spec, datatype, own, dataFromBytes(own, source)) }
}

/** Converts every element to the datatype. */
function converted(
  spec: TensorSpec,
  datatype: NumericDatatype,
  own: NumericDatatype,
  source: NumericData,
): NumericData {
  const target = allocateData(datatype, source.length)
  for (const [index, element] of source.entries()) {
    const value = own === 'FP16' ? halfToNumber(Number(element)) : element
    if (!holds(datatype, own, value)) {
      const place = `Input ${quote(spec.name)}, element ${index}`
      const text = `${place}: ${value} is out of range for ${datatype}.`
      throw new ServerError('InvalidInputException', text)
    }
    if (target instanceof BigInt64Array || target instanceof BigUint64Array) {
      target[index] = BigInt(value)
    } else if (datatype === 'FP16') target[index] = numberToHalf(Number(value))
    else target[index] = datatype === 'BOOL' ? Number(Number(value) !== 0) : Number(value)
  }
  return target
}

/**
 * A finite number must not become infinity, and an integer must not wrap. NumPy reads every byte
 * except 0 as true.
 */
function holds(datatype: NumericDatatype, own: NumericDatatype, value: number | bigint): boolean {
  switch (datatype) {
    case 'FP16':
    case 'FP32':
    case 'FP64': {
      const number = Math.abs(Number(value))
      return !(number >= OVERFLOW[datatype]) || number === Number.POSITIVE_INFINITY
    }
    case 'INT64':
    case 'UINT64': {
      const [least, most] = WIDE_RANGES[datatype]
      return value >= least && value <= most
    }
    case 'BOOL':
      return own === 'BOOL' || value === 0 || value === 1 || value === 0n || value === 1n
    case 'UINT8':
    case 'UINT16':
    case 'UINT32':
    case 'INT8':
    case 'INT16':
    case 'INT32': {
      const [least, most] = NARROW_RANGES[datatype]
      return value >= least && value <= most
    }
  }
}

function sourceType({ kind, size }: NpyHeader): NumericDatatype {
  if (kind === 'b') return 'BOOL'
  if (kind === 'f') return size === 2 ? 'FP16' : size === 4 ? 'FP32' : 'FP64'
  const signed = size === 1 ? 'INT8' : size === 2 ? 'INT16' : size === 4 ? 'INT32' : 'INT64'
  return kind === 'i' ? signed : (`U${signed}` as NumericDatatype)
}

/** Returns the bytes, or for big-endian data a copy with the bytes of each element reversed. */
function littleEndian(bytes: Buffer, { size, isBigEndian }: NpyHeader): Buffer {
  if (!isBigEndian || size === 1) return bytes
  const copy = Buffer.from(bytes)
  if (size === 2) return copy.swap16()
  return size === 4 ? copy.swap32() : copy.swap64()
}

/** Returns the elements in row-major order. In Fortran order the first index changes fastest. */
function inRowOrder(bytes: Buffer, { isFortranOrder, shape, size }: NpyHeader): Buffer {
  if (!isFortranOrder || shape.length < 2 || bytes.length === 0) return bytes
  const ordered = Buffer.allocUnsafe(bytes.length)
  const strides = shape.map((_, axis) => elementCount(shape.slice(0, axis)) * size)
  const index = shape.map(() => 0)
  let from = 0
  for (let to = 0; to < bytes.length; to += size) {
    bytes.copy(ordered, to, from, from + size)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const step = strides[axis] ?? 0
      const next = (index[axis] ?? 0) + 1
      if (next < (shape[axis] ?? 0)) {
        index[axis] = next
        from += step
        break
      }
      from -= step * (next - 1)
      index[axis] = 0
    }
  }
  return ordered
}

/** Strings of equal length, padded with NULs. */
function textsOf(bytes: Buffer, { kind, size, isBigEndian }: NpyHeader): string[] {
  const texts: string[] = []
  for (let at = 0; at < bytes.length; at += size) {
    const cell = bytes.subarray(at, at + size)
    texts.push(kind === 'S' ? bytesToElement(withoutNuls(cell)) : wideText(cell, isBigEndian))
  }
  return texts
}

function withoutNuls(cell: Buffer): Buffer {
  let end = cell.length
  while (end > 0 && cell[end - 1] === 0) end--
  return cell.subarray(0, end)
}

function wideText(cell: Buffer, isBigEndian: boolean): string {
  let text = ''
  for (let at = 0; at < cell.length; at += 4) {
    const point = isBigEndian ? cell.readUInt32BE(at) : cell.readUInt32LE(at)
    if (point > LAST_CODE_POINT || (point >= 0xd800 && point < 0xe000)) {
      throw damaged(`${point} is not a Unicode character`)
    }
    text += String.fromCodePoint(point)
  }
  let end = text.length
  while (end > 0 && text[end - 1] === '\0') end--
  return textToElement(text.slice(0, end))
}

function mismatch({ name, datatype }: TensorSpec, { descr }: NpyHeader): ServerError {
  return new ServerError(
    'InvalidInputException',
    `Input ${quote(name)}: an array with the dtype ${quote(descr)} cannot be converted to ${datatype}; convert it with astype first.`,
  )
}
