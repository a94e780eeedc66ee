/** Reads and writes a `ValueInfoProto` of ONNX: the name and type of an input or output. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { numberIn } from '../../../../formats/proto-file.ts'
import type { ProtoField, ProtoFile, Range } from '../../../../formats/proto-file.ts'

const MAX_NAME_BYTES = 64 * 1024
const MAX_RANK = 64

const VALUE = { name: 1, type: 2 } as const
const TENSOR = { elementType: 1, shape: 2 } as const
const DIMENSION = { entry: 1, size: 1, name: 2 } as const
const SEQUENCE_ELEMENT = 1
const TENSOR_TYPE = 1
const SEQUENCE_TYPE = 4
/** Fields of `TypeProto` for values that are not tensors. */
const KINDS: ReadonlyMap<number, ValueKind> = new Map([
  [TENSOR_TYPE, 'tensor'],
  [SEQUENCE_TYPE, 'sequence'],
  [5, 'map'],
  [8, 'sparse tensor'],
  [9, 'optional'],
])

/** `unknown` stands for a value without a declared type. */
export type ValueKind =
  | 'tensor'
  | 'sequence'
  | 'sequence of maps'
  | 'map'
  | 'sparse tensor'
  | 'optional'
  | 'unknown'

export interface ValueInfo {
  readonly name: string
  readonly kind: ValueKind
  /** Number of ONNX's `TensorProto.DataType`; 0 for what is not a tensor. */
  readonly elementType: number
  /** Sizes, with `undefined` for an open dimension; `undefined` for a tensor without a shape. */
  readonly dims: readonly (number | undefined)[] | undefined
}

/** @throws ProtoError */
export function readValueInfo(file: ProtoFile, value: Range): ValueInfo {
  let name = ''
  let type: Omit<ValueInfo, 'name'> = { kind: 'unknown', elementType: 0, dims: undefined }
  for (const field of file.fields(value)) {
    if (field.number === VALUE.name) name = file.bytes(field, MAX_NAME_BYTES).toString('utf8')
    else if (field.number === VALUE.type) type = readType(file, field)
  }
  return { name, ...type }
}

/** A tensor of one dimension or two. An `undefined` dimension is open and has no name. */
export function tensorInfo(
  name: string,
  elementType: number,
  dims: readonly (number | undefined)[],
): Buffer {
  const writer = new BinaryWriter()
  writer.tag(VALUE.name, WireType.LengthDelimited).string(name)
  writer.tag(VALUE.type, WireType.LengthDelimited).fork()
  writer.tag(TENSOR_TYPE, WireType.LengthDelimited).fork()
  writer.tag(TENSOR.elementType, WireType.Varint).int32(elementType)
  writer.tag(TENSOR.shape, WireType.LengthDelimited).fork()
  for (const size of dims) {
    writer.tag(DIMENSION.entry, WireType.LengthDelimited).fork()
    if (size !== undefined) writer.tag(DIMENSION.size, WireType.Varint).int64(size)
    writer.join()
  }
  return Buffer.from(writer.join().join().join().finish())
}

function readType(file: ProtoFile, type: Range): Omit<ValueInfo, 'name'> {
  for (const field of file.fields(type)) {
    const kind = KINDS.get(field.number)
    if (kind === 'tensor') return { kind, ...readTensorType(file, field) }
    if (kind === undefined) continue
    const isOfMaps = kind === 'sequence' && hasMaps(file, field)
    return { kind: isOfMaps ? 'sequence of maps' : kind, elementType: 0, dims: undefined }
  }
  return { kind: 'unknown', elementType: 0, dims: undefined }
}

function hasMaps(file: ProtoFile, sequence: Range): boolean {
  for (const element of file.fields(sequence)) {
    if (element.number !== SEQUENCE_ELEMENT) continue
    for (const { number } of file.fields(element)) if (KINDS.get(number) === 'map') return true
  }
  return false
}

function readTensorType(file: ProtoFile, tensor: Range): Pick<ValueInfo, 'elementType' | 'dims'> {
  let elementType = 0
  let dims: (number | undefined)[] | undefined
  for (const field of file.fields(tensor)) {
    if (field.number === TENSOR.elementType) elementType = numberIn(field)
    else if (field.number === TENSOR.shape) dims = readDims(file, field)
  }
  return { elementType, dims }
}

function readDims(file: ProtoFile, shape: Range): (number | undefined)[] {
  const dims: (number | undefined)[] = []
  for (const dimension of file.fields(shape)) {
    if (dimension.number === DIMENSION.entry && dims.length < MAX_RANK) {
      dims.push(sizeOf(file, dimension))
    }
  }
  return dims
}

function sizeOf(file: ProtoFile, dimension: ProtoField): number | undefined {
  for (const field of file.fields(dimension)) {
    if (field.number === DIMENSION.size) return numberIn(field)
  }
  return undefined
}
