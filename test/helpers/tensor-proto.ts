/** Reads ONNX's serialised `TensorProto`: as much of protocol buffers as that takes. */
import type { Datatype } from '../../src/worker/process/onnx/tensors/tensor.ts'

export interface ProtoTensor {
  readonly datatype: Datatype
  readonly shape: readonly number[]
  /** Elements in the machine's byte order. */
  readonly bytes: Buffer
}

const VARINT = 0
const FIXED_64 = 1
const BYTES = 2
const FIXED_32 = 5
const FIELD = {
  dims: 1,
  dataType: 2,
  floats: 4,
  int32s: 5,
  int64s: 7,
  raw: 9,
  doubles: 10,
} as const
const DATATYPES: Readonly<Record<number, Datatype>> = {
  1: 'FP32',
  2: 'UINT8',
  3: 'INT8',
  4: 'UINT16',
  5: 'INT16',
  6: 'INT32',
  7: 'INT64',
  9: 'BOOL',
  10: 'FP16',
  11: 'FP64',
  12: 'UINT32',
  13: 'UINT64',
}

export function readTensorProto(proto: Buffer): ProtoTensor {
  const shape: number[] = []
  const values: (number | bigint)[] = []
  let type = 0
  let bytes: Buffer | undefined
  for (const { field, wire, value } of fieldsOf(proto)) {
    if (field === FIELD.dataType) type = Number(value)
    else if (field === FIELD.dims) shape.push(...varintsOf(wire, value).map(Number))
    else if (field === FIELD.raw || field === FIELD.floats || field === FIELD.doubles) {
      if (typeof value === 'bigint') throw new Error('elements that are not packed')
      bytes = value
    } else if (field === FIELD.int32s || field === FIELD.int64s) {
      values.push(...varintsOf(wire, value))
    }
  }
  const datatype = DATATYPES[type]
  if (datatype === undefined) throw new Error(`TensorProto of type ${type}`)
  return { datatype, shape, bytes: bytes ?? packed(datatype, values) }
}

function packed(datatype: Datatype, values: readonly (number | bigint)[]): Buffer {
  const numbers = values.map(Number)
  if (datatype === 'INT64') return Buffer.from(BigInt64Array.from(values.map(BigInt)).buffer)
  if (datatype === 'INT32') return Buffer.from(Int32Array.from(numbers).buffer)
  if (datatype === 'FP16') return Buffer.from(Uint16Array.from(numbers).buffer)
  if (datatype === 'BOOL' || datatype === 'UINT8') return Buffer.from(numbers)
  throw new Error(`packed elements of ${datatype}`)
}

function* fieldsOf(
  proto: Buffer,
): Generator<{ field: number; wire: number; value: Buffer | bigint }> {
  const cursor = { at: 0 }
  while (cursor.at < proto.length) {
    const tag = Number(readVarint(proto, cursor))
    const wire = tag & 7
    const size =
      wire === BYTES
        ? Number(readVarint(proto, cursor))
        : wire === FIXED_32
          ? 4
          : wire === FIXED_64
            ? 8
            : 0
    if (wire === VARINT) {
      yield { field: tag >> 3, wire, value: readVarint(proto, cursor) }
      continue
    }
    yield { field: tag >> 3, wire, value: proto.subarray(cursor.at, cursor.at + size) }
    cursor.at += size
  }
}

function varintsOf(wire: number, value: Buffer | bigint): bigint[] {
  if (typeof value === 'bigint') return [value]
  if (wire !== BYTES) throw new Error('not a list of varints')
  const cursor = { at: 0 }
  const values: bigint[] = []
  while (cursor.at < value.length) values.push(readVarint(value, cursor))
  return values
}

function readVarint(bytes: Buffer, cursor: { at: number }): bigint {
  let value = 0n
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes.readUInt8(cursor.at++)
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return BigInt.asIntN(64, value)
  }
}
