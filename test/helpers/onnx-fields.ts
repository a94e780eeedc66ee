/** Writes messages of ONNX field by field, also those that no sound model has. */
import { Buffer } from 'node:buffer'

const BYTES = 2
const FLOAT = 5

/** A field of a protobuf message: an integer, or bytes after their length. */
export function field(number: number, value: number | bigint | string | Buffer): Buffer {
  if (typeof value === 'number' || typeof value === 'bigint') {
    return Buffer.concat([varint(BigInt(number << 3)), varint(BigInt(value))])
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([varint(BigInt((number << 3) | BYTES)), varint(BigInt(bytes.length)), bytes])
}

/** A field with a 32-bit floating-point number. */
export function floatField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return Buffer.concat([varint(BigInt((number << 3) | FLOAT)), bytes])
}

function varint(value: bigint): Buffer {
  const bytes: number[] = []
  let left = BigInt.asUintN(64, value)
  for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128)
  bytes.push(Number(left))
  return Buffer.from(bytes)
}

/**
 * A `ValueInfoProto`. A shape of `[]` is a scalar; without a shape any is accepted. A dimension is
 * a size, a symbolic name, or `''` for a dynamic dimension without a name.
 */
export function tensorValue(
  name: string,
  type: number,
  shape?: readonly (number | string)[],
): Buffer {
  const dimensions = shape?.map((size) =>
    field(1, size === '' ? Buffer.alloc(0) : field(typeof size === 'number' ? 1 : 2, size)),
  )
  const tensor = Buffer.concat([
    field(1, type),
    ...(dimensions === undefined ? [] : [field(2, Buffer.concat(dimensions))]),
  ])
  return Buffer.concat([field(1, name), field(2, field(1, tensor))])
}

/** A `ValueInfoProto` of a sequence of maps from a key (a type of ONNX) to a float. */
export function mapsValue(name: string, keyType: number): Buffer {
  const map = Buffer.concat([field(1, keyType), field(2, field(1, field(1, 1)))])
  return Buffer.concat([field(1, name), field(2, field(4, field(1, field(5, map))))])
}

/** A `ValueInfoProto` of a sequence of float tensors. */
export function sequenceValue(name: string): Buffer {
  return Buffer.concat([field(1, name), field(2, field(4, field(1, field(1, field(1, 1)))))])
}

/** A `NodeProto`. `more` has further fields, such as attributes. */
export function node(
  operator: string,
  inputs: readonly string[],
  outputs: readonly string[],
  more: Buffer = Buffer.alloc(0),
): Buffer {
  return Buffer.concat([
    ...inputs.map((name) => field(1, name)),
    ...outputs.map((name) => field(2, name)),
    field(4, operator),
    more,
  ])
}

/** A `ModelProto` with one graph. `more` has further fields of the model. */
export function model(
  graph: Buffer,
  more: Buffer = Buffer.alloc(0),
  version = 17,
  // Operator sets from 21 on need a newer version of the file format.
  format = version < 21 ? 8 : 10,
): Buffer {
  return Buffer.concat([field(1, format), field(8, field(2, version)), more, field(7, graph)])
}
