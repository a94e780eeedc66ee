/** The codec of gRPC: elements in every form that protocol buffers allow, and wrong ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Datatype } from '../../../../../../src/contract/datatypes.ts'
import { ServerError } from '../../../../../../src/errors.ts'
import type { Decoded } from '../../../../../../src/worker/process/onnx/codec.ts'
import { MessageCodec } from '../../../../../../src/worker/process/onnx/oip/grpc-messages/codec.ts'
import type { TensorSpec } from '../../../../../../src/worker/process/onnx/tensors/metadata.ts'
import { modelOf } from '../../../../../fuzz/json-readers.ts'
import { inferMessage, inferResponse } from '../../../../../helpers/grpc.ts'
import type { Message } from '../../../../../helpers/grpc.ts'

const LIMITS = { maxResponseBytes: 64, maxJsonBytes: 1 << 20, maxJsonDepth: 100 }

function codecOf(datatype: Datatype, shape: readonly number[] = [-1]): MessageCodec {
  const dimensions = shape.map((size) => (size < 0 ? '' : size))
  const spec: TensorSpec = { name: 'x', datatype, shape, dimensions }
  return new MessageCodec(modelOf([spec]), LIMITS)
}

function decode(codec: MessageCodec, value: Buffer): Decoded {
  const parameters = [{ name: 'body', contentType: '', value }]
  return codec.decode({ id: 'r', headers: [], parameters })
}

function request(datatype: Datatype, shape: readonly number[], fields: Message = {}): Buffer {
  const { contents, ...others } = fields
  const input = { name: 'x', datatype, shape, ...(contents !== undefined && { contents }) }
  return inferMessage({ model_name: 'm', inputs: [input], ...others })
}

/** A request whose contents are written field by field. */
function written(datatype: Datatype, count: number, write: (writer: BinaryWriter) => void): Buffer {
  const writer = new BinaryWriter()
  writer.tag(5, WireType.LengthDelimited).fork()
  writer.tag(1, WireType.LengthDelimited).string('x')
  writer.tag(2, WireType.LengthDelimited).string(datatype)
  writer.tag(3, WireType.Varint).int64(count)
  writer.tag(5, WireType.LengthDelimited).fork()
  write(writer)
  return Buffer.from(writer.join().join().finish())
}

function refused(codec: MessageCodec, message: Buffer): string {
  try {
    decode(codec, message)
  } catch (error) {
    assert.ok(error instanceof ServerError && error.statusCode === 400, String(error))
    return error.message
  }
  return assert.fail('it was accepted')
}

test('packed and single elements, in one or several fields, are the same tensor', () => {
  const packed = request('INT32', [3], { contents: { int_contents: [-1, 0, 2 ** 31 - 1] } })
  const single = written('INT32', 3, (writer) => {
    writer.tag(2, WireType.Varint).int32(-1)
    writer.tag(2, WireType.Varint).int32(0)
    writer
      .tag(2, WireType.LengthDelimited)
      .fork()
      .int32(2 ** 31 - 1)
    writer.join()
  })
  for (const message of [packed, single]) {
    const [tensor] = decode(codecOf('INT32'), message).inputs
    assert.deepEqual([...(tensor?.data ?? [])], [-1, 0, 2 ** 31 - 1])
  }
  const floats = written('FP32', 3, (writer) => {
    writer.tag(6, WireType.Bit32).float(0.5)
    writer.tag(6, WireType.LengthDelimited).fork().float(1.5).float(-2)
    writer.join()
  })
  assert.deepEqual([...(decode(codecOf('FP32'), floats).inputs[0]?.data ?? [])], [0.5, 1.5, -2])
})

test('small integers are checked, and a boolean is 0 or 1', () => {
  for (const [datatype, value] of [
    ['INT8', 128],
    ['INT8', -129],
    ['INT16', 32_768],
  ] as const) {
    const message = request(datatype, [1], { contents: { int_contents: [value] } })
    assert.match(refused(codecOf(datatype), message), /is not a number of the datatype INT/)
  }
  for (const [datatype, value] of [
    ['UINT8', 256],
    ['UINT16', 65_536],
  ] as const) {
    const message = request(datatype, [1], { contents: { uint_contents: [value] } })
    assert.match(refused(codecOf(datatype), message), /is not a number of the datatype UINT/)
  }
  const flags = written('BOOL', 2, (writer) => {
    writer.tag(1, WireType.Varint).uint64(2n ** 63n)
    writer.tag(1, WireType.Varint).uint32(0)
  })
  assert.deepEqual([...(decode(codecOf('BOOL'), flags).inputs[0]?.data ?? [])], [1, 0])
})

test('scalars and tensors without elements need no data of their own', () => {
  const scalar = request('FP32', [], { contents: { fp32_contents: [0.5] } })
  assert.deepEqual(decode(codecOf('FP32', []), scalar).inputs[0]?.shape, [])
  for (const fields of [{}, { raw_input_contents: [Buffer.alloc(0)] }, { contents: {} }]) {
    const [tensor] = decode(codecOf('INT64'), request('INT64', [0], fields)).inputs
    assert.deepEqual(tensor?.shape, [0])
  }
})

test('contents that are not valid say why', () => {
  const half = request('FP16', [1], { contents: { fp32_contents: [1] } })
  assert.match(refused(codecOf('FP16'), half), /FP16 is only possible in "raw_input_contents"/)
  const cut = written('INT64', 1, (writer) => {
    writer.tag(3, WireType.LengthDelimited).bytes(new Uint8Array([0xff]))
  })
  assert.match(refused(codecOf('INT64'), cut), /"contents" are not valid/)
  const long = written('INT64', 1, (writer) => {
    writer.tag(3, WireType.LengthDelimited).bytes(new Uint8Array([...Array(10).fill(0x80), 1]))
  })
  assert.match(refused(codecOf('INT64'), long), /not a number of the datatype INT64/)
  const odd = written('FP64', 1, (writer) => {
    writer.tag(7, WireType.LengthDelimited).bytes(new Uint8Array(7))
  })
  assert.match(refused(codecOf('FP64'), odd), /"contents" are not valid/)
  const many = request('UINT8', [2 ** 40], { contents: { uint_contents: [1] } })
  assert.match(refused(codecOf('UINT8'), many), /requires 1099511627776 elements, got 1/)
  assert.match(refused(codecOf('UINT8'), Buffer.from('2aff', 'hex')), /message is not valid/)
})

test('a response repeats id and names, and is limited', () => {
  const message = request('INT64', [2], {
    id: 'é',
    parameters: { triton_enable_empty_final_response: { bool_param: true } },
    raw_input_contents: [Buffer.alloc(16, 1)],
  })
  const call = decode(codecOf('INT64'), message)
  const answer = call.encode(call.inputs)
  assert.ok(!(answer instanceof Promise))
  assert.equal(answer.contentType, 'application/grpc')
  const response = inferResponse(answer.body)
  assert.equal(response['id'], 'é')
  assert.deepEqual(Object.keys(response['parameters'] as object), ['triton_final_response'])
  assert.deepEqual(response['raw_output_contents'], [Buffer.alloc(16, 1)])
  const large = request('INT64', [9], { raw_input_contents: [Buffer.alloc(72)] })
  const heavy = decode(codecOf('INT64'), large)
  assert.throws(() => heavy.encode(heavy.inputs), { statusCode: 507 })
})

test('parameters that begin with triton_ are reserved', () => {
  const parameters = { triton_other: { bool_param: true } }
  const message = request('INT64', [0], { parameters })
  assert.match(refused(codecOf('INT64'), message), /"triton_other" is not allowed/)
})
