/** Reads a `TensorProto` of ONNX: its dimensions, and its elements if they are few. */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { ProtoError, numberIn } from '../../../../formats/proto-file.ts'
import type { ProtoField, ProtoFile, Range } from '../../../../formats/proto-file.ts'
import type { StoredTensor } from './graph.ts'

/** Shapes, axes, pads and scales have few elements; a tensor with more is a weight. */
const MAX_ELEMENTS = 1024
const MAX_RANK = 64
const MAX_NAME_BYTES = 64 * 1024
const EXTERNAL = 1

const FIELD = {
  dims: 1,
  type: 2,
  floats: 4,
  int32s: 5,
  int64s: 7,
  name: 8,
  raw: 9,
  doubles: 10,
  location: 14,
} as const

/** Readers of raw elements, by ONNX's number of the datatype. */
const RAW: Readonly<Record<number, { size: number; read: (bytes: Buffer, at: number) => number }>> =
  {
    1: { size: 4, read: (bytes, at) => bytes.readFloatLE(at) },
    2: { size: 1, read: (bytes, at) => bytes.readUInt8(at) },
    3: { size: 1, read: (bytes, at) => bytes.readInt8(at) },
    6: { size: 4, read: (bytes, at) => bytes.readInt32LE(at) },
    7: { size: 8, read: (bytes, at) => Number(bytes.readBigInt64LE(at)) },
    9: { size: 1, read: (bytes, at) => bytes.readUInt8(at) },
    11: { size: 8, read: (bytes, at) => bytes.readDoubleLE(at) },
  }

/**
 * Reads a tensor with its name.
 * @throws ProtoError
 */
export function readTensor(
  file: ProtoFile,
  range: Range,
): { readonly name: string; readonly tensor: StoredTensor } {
  const dims: number[] = []
  const parts: { readonly field: ProtoField; readonly type: number }[] = []
  let name = ''
  let type = 0
  let isExternal = false
  for (const field of file.fields(range)) {
    switch (field.number) {
      case FIELD.dims:
        dims.push(...readIntegers(file, field, MAX_RANK))
        if (dims.length > MAX_RANK) throw new ProtoError('a tensor has too many dimensions')
        break
      case FIELD.type:
        type = numberIn(field)
        break
      case FIELD.name:
        name = file.bytes(field, MAX_NAME_BYTES).toString('utf8')
        break
      case FIELD.location:
        isExternal = numberIn(field) === EXTERNAL
        break
      case FIELD.floats:
      case FIELD.int32s:
      case FIELD.int64s:
      case FIELD.raw:
      case FIELD.doubles:
        if (parts.length <= MAX_ELEMENTS) parts.push({ field, type: field.number })
        break
      default:
    }
  }
  const count = dims.reduce((product, size) => product * size, 1)
  const isSmall = !isExternal && count <= MAX_ELEMENTS && RAW[type] !== undefined
  const values = isSmall
    ? parts.flatMap((part) => readElements(file, part.field, type, count))
    : undefined
  return { name, tensor: { dims, values: values?.length === count ? values : undefined } }
}

/**
 * Reads one integer, or a packed list of integers.
 * @throws ProtoError when there are more than `limit`.
 */
export function readIntegers(file: ProtoFile, field: ProtoField, limit: number): number[] {
  if (field.wire === WireType.Varint) return [field.value]
  if (field.wire !== WireType.LengthDelimited) throw new ProtoError('the file is damaged')
  const reader = new BinaryReader(file.bytes(field, limit * 10))
  const values: number[] = []
  while (reader.pos < reader.len) {
    if (values.length === limit) throw new ProtoError('a list is too long')
    values.push(readInteger(reader))
  }
  return values
}

/** Reads the next integer of a packed list. The list may end inside an integer. */
function readInteger(reader: BinaryReader): number {
  try {
    return Number(reader.int64())
  } catch (cause) {
    throw new ProtoError('the file is damaged', { cause })
  }
}

function readElements(file: ProtoFile, field: ProtoField, type: number, count: number): number[] {
  const { number } = field
  if (number === FIELD.int32s || number === FIELD.int64s) {
    return readIntegers(file, field, count)
  }
  const layout = number === FIELD.floats ? RAW[1] : number === FIELD.doubles ? RAW[11] : RAW[type]
  if (layout === undefined) return []
  const bytes = file.bytes(field, MAX_ELEMENTS * 8)
  return Array.from({ length: Math.floor(bytes.length / layout.size) }, (_, index) =>
    layout.read(bytes, index * layout.size),
  )
}
