/** Small ONNX files, written by hand: a test that needs a special network makes it here. */
import { Buffer } from 'node:buffer'

const FLOAT = 1
const INT64 = 7
const BOOL = 9

/** A field of a protobuf message: a number, or bytes with their length in front. */
export function field(number: number, value: number | bigint | string | Buffer): Buffer {
  if (typeof value === 'number' || typeof value === 'bigint') {
    return Buffer.concat([varint(BigInt(number << 3)), varint(BigInt(value))])
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([varint(BigInt((number << 3) | 2)), varint(BigInt(bytes.length)), bytes])
}

function varint(value: bigint): Buffer {
  const bytes: number[] = []
  let left = BigInt.asUintN(64, value)
  for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128)
  bytes.push(Number(left))
  return Buffer.from(bytes)
}

/** A `ValueInfoProto`; a shape of `undefined` is a scalar. */
export function tensorValue(name: string, type: number, shape: readonly number[]): Buffer {
  const dimensions = shape.map((size) => field(1, field(1, size)))
  const tensor = Buffer.concat([field(1, type), field(2, Buffer.concat(dimensions))])
  return Buffer.concat([field(1, name), field(2, field(1, tensor))])
}

/** A `NodeProto`. */
export function node(
  operator: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Buffer = Buffer.alloc(0),
): Buffer {
  return Buffer.concat([
    ...inputs.map((name) => field(1, name)),
    ...outputs.map((name) => field(2, name)),
    field(4, operator),
    attributes,
  ])
}

/** A `ModelProto` of one graph; `more` are fields of the model beside it. */
export function model(graph: Buffer, more: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([field(1, 8), field(8, field(2, 17)), more, field(7, graph)])
}

/** A network that adds `constant` to its input of one number, `x`, and calls the result `y`. */
export function addModel(constant: number, { input = 'x', padding = 0 } = {}): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(constant)
  const graph = [
    field(1, node('Add', [input, 'c'], ['y'])),
    field(2, 'add'),
    field(5, Buffer.concat([field(1, 1), field(2, FLOAT), field(8, 'c'), field(9, bytes)])),
    field(10, 'p'.repeat(padding)),
    field(11, tensorValue(input, FLOAT, [1])),
    field(12, tensorValue('y', FLOAT, [1])),
  ]
  return model(Buffer.concat(graph))
}

/** As {@link addModel}, with the constant in another file, whose four bytes {@link externalConstant} makes. */
export function externalModel(location: string): Buffer {
  const entry = Buffer.concat([field(1, 'location'), field(2, location)])
  const tensor = [field(1, 1), field(2, FLOAT), field(8, 'c'), field(13, entry), field(14, 1)]
  const graph = [
    field(1, node('Add', ['x', 'c'], ['y'])),
    field(2, 'add'),
    field(5, Buffer.concat(tensor)),
    field(11, tensorValue('x', FLOAT, [1])),
    field(12, tensorValue('y', FLOAT, [1])),
  ]
  return model(Buffer.concat(graph))
}

/** The file of the constant of an {@link externalModel}. */
export function externalConstant(constant: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(constant)
  return bytes
}

/** A network whose run never ends, or takes so many turns of a loop, a microsecond or a few each. */
export function endlessModel(count = 2n ** 62n): Buffer {
  const constant = (name: string, type: number, data: Buffer): Buffer =>
    field(5, Buffer.concat([field(2, type), field(8, name), field(9, data)]))
  const turns = Buffer.alloc(8)
  turns.writeBigInt64LE(count)
  const body = Buffer.concat([
    field(1, node('Identity', ['goOn'], ['goesOn'])),
    field(1, node('Add', ['before', 'before'], ['after'])),
    field(2, 'body'),
    field(11, tensorValue('turn', INT64, [])),
    field(11, tensorValue('goOn', BOOL, [])),
    field(11, tensorValue('before', FLOAT, [1])),
    field(12, tensorValue('goesOn', BOOL, [])),
    field(12, tensorValue('after', FLOAT, [1])),
  ])
  const attribute = field(5, Buffer.concat([field(1, 'body'), field(6, body), field(20, 5)]))
  return model(
    Buffer.concat([
      field(1, node('Loop', ['turns', 'yes', 'x'], ['y'], attribute)),
      field(2, 'endless'),
      constant('turns', INT64, turns),
      constant('yes', BOOL, Buffer.from([1])),
      field(11, tensorValue('x', FLOAT, [1])),
      field(12, tensorValue('y', FLOAT, [1])),
    ]),
  )
}
