import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError } from '../../../src/errors.ts'
import { ReplyDecoder, RequestDecoder } from '../../../src/worker/wire/decode.ts'
import { encodeLoad, encodePredict, encodeReply } from '../../../src/worker/wire/encode.ts'
import { COMMAND_PREDICT, NO_GPU } from '../../../src/worker/wire/messages.ts'
import type {
  LoadRequest,
  WirePrediction,
  WireRequest,
  WorkerReply,
} from '../../../src/worker/wire/messages.ts'
import { assertSame } from '../../helpers/same.ts'

const MIB = 1024 * 1024

const load: LoadRequest = {
  command: 'load',
  modelName: 'modèle',
  modelPath: '/models/模型',
  batchSize: 8,
  handler: 'service:handle',
  gpu: 3,
  ioDescriptor: 'io-1',
  envelope: '',
  limitMaxImagePixels: true,
}

function request(value: Buffer, id = 'r1'): WireRequest {
  const headers = [['content-type', 'text/plain'] as const, ['x-name', 'Zoë 😀'] as const]
  return { id, headers, parameters: [{ name: 'body', contentType: 'text/plain', value }] }
}

function prediction(body: Buffer): WirePrediction {
  const headers = [['x-a', ''] as const, ['x-b', 'ü'] as const]
  return { id: 'r1', contentType: 'text/plain', status: 201, reason: 'Fertig ✓', headers, body }
}

function reply(...predictions: WirePrediction[]): WorkerReply {
  return { code: 200, message: 'Prediction success', predictions }
}

test('large values and bodies are parts of the frame by identity, the rest between them is one part', () => {
  const [first, second, empty] = [Buffer.alloc(10_000, 1), Buffer.alloc(10_000, 2), Buffer.alloc(0)]
  const requests = encodePredict([request(first), request(empty), request(second)])
  assert.equal(requests.length, 5)
  assert.equal(requests[1], first)
  assert.equal(requests[3], second)
  const replies = encodeReply(reply(prediction(first), prediction(second)))
  assert.equal(replies.length, 5)
  assert.equal(replies[1], first)
  assert.equal(replies[3], second)
})

test('small values and bodies are copied: a frame of them is one part', () => {
  const [first, second] = [Buffer.from('first'), Buffer.alloc(5000, 2)]
  assert.equal(encodePredict([request(first), request(second)]).length, 1)
  assert.equal(encodeReply(reply(prediction(first), prediction(second))).length, 1)
})

test('a frame larger than the first buffer of the writer is whole', () => {
  const long = 'ä'.repeat(3000)
  const message = { ...reply(prediction(Buffer.from('x'))), message: long }
  for (const repeat of [1, 40]) {
    const many = { ...message, predictions: Array(repeat).fill(message.predictions[0]) }
    assertSame(new ReplyDecoder().push(Buffer.concat(encodeReply(many))), [many])
  }
})

test('a batch size below 1 is sent as 1, and every negative device is read as the CPU', () => {
  for (const batchSize of [0, -1, -5]) {
    const frame = Buffer.concat(encodeLoad({ ...load, batchSize, gpu: -7 }, 'mms'))
    const decoded = new RequestDecoder().push(frame)
    assert.deepEqual(decoded, [{ ...load, batchSize: 1, gpu: NO_GPU }])
  }
})

test('the TorchServe layout of load carries envelope and pixel limit, and only 0 or 1 for the latter', () => {
  const sent = { ...load, ioDescriptor: '', envelope: 'kserve', limitMaxImagePixels: false }
  const frame = Buffer.concat(encodeLoad(sent, 'torchserve'))
  assert.deepEqual(new RequestDecoder({ dialect: 'torchserve' }).push(frame), [sent])
  frame[frame.length - 1] = COMMAND_PREDICT
  const decoder = new RequestDecoder({ dialect: 'torchserve' })
  assert.throws(() => decoder.push(frame), ProtocolError)
})

test('a thousand frames in one chunk arrive in order', () => {
  const frames = Array.from({ length: 1000 }, (_, index) => request(Buffer.from('v'), `r${index}`))
  const chunk = Buffer.concat(frames.flatMap((one) => encodePredict([one])))
  const decoded = new RequestDecoder().push(chunk)
  assertSame(
    decoded,
    frames.map((one) => ({ command: 'predict', requests: [one] })),
  )
})

test('a stream cut at any offset is a protocol error at its end, and idle only between messages', () => {
  const frames: [new () => RequestDecoder | ReplyDecoder, Buffer][] = [
    [RequestDecoder, Buffer.concat(encodeLoad(load, 'mms'))],
    [
      RequestDecoder,
      Buffer.concat(encodePredict([request(Buffer.from('abc')), request(Buffer.from('L'))])),
    ],
    [ReplyDecoder, Buffer.concat(encodeReply(reply(prediction(Buffer.from('abc')))))],
    [ReplyDecoder, Buffer.concat(encodeReply(reply()))],
  ]
  for (const [Decoder, frame] of frames) {
    const twice = Buffer.concat([frame, frame])
    for (let offset = 0; offset <= twice.length; offset++) {
      const isBetween = offset % frame.length === 0
      const decoder = new Decoder()
      const messages = decoder.push(twice.subarray(0, offset))
      assert.equal(messages.length, Math.floor(offset / frame.length))
      assert.equal(decoder.isIdle, isBetween)
      if (isBetween) decoder.end()
      else assert.throws(() => decoder.end(), ProtocolError)
    }
  }
})

test('after a violation every later call throws, and the decoder is not idle', () => {
  const decoder = new RequestDecoder()
  assert.throws(() => decoder.push(Buffer.from('X')), ProtocolError)
  assert.throws(() => decoder.push(Buffer.concat(encodePredict([]))), ProtocolError)
  assert.throws(() => decoder.end(), ProtocolError)
  assert.equal(decoder.isIdle, false)
  const cut = new ReplyDecoder()
  cut.push(Buffer.alloc(3))
  assert.throws(() => cut.end(), ProtocolError)
  assert.throws(() => cut.push(Buffer.alloc(1)), ProtocolError)
})

test('a value inside one chunk is a view of it, a value across chunks is a buffer of its own size', () => {
  const value = Buffer.from('0123456789')
  const frame = Buffer.concat(encodePredict([request(value)]))
  const read = (...chunks: Buffer[]) => {
    const decoder = new RequestDecoder()
    const message = chunks.flatMap((chunk) => decoder.push(chunk))[0]
    assert.ok(message?.command === 'predict')
    return message.requests[0]?.parameters[0]?.value
  }
  const at = frame.indexOf(value)
  assert.equal(read(frame)?.buffer, frame.buffer)
  const inSecond = Buffer.from(frame.subarray(at))
  assert.equal(read(frame.subarray(0, at), inSecond)?.buffer, inSecond.buffer)
  const gathered = read(frame.subarray(0, at + 4), frame.subarray(at + 4))
  assertSame(gathered, value)
  assert.equal(gathered?.buffer.byteLength, value.length)
})

test('a value that outgrows its first buffer several times arrives whole and exactly sized', () => {
  const value = Buffer.alloc(20 * MIB + 5)
  for (let index = 0; index < value.length; index += 4001) value[index] = index % 251
  const frame = Buffer.concat(encodeReply(reply(prediction(value))))
  const decoder = new ReplyDecoder()
  const replies: WorkerReply[] = []
  for (let start = 0; start < frame.length; start += 65_536) {
    replies.push(...decoder.push(frame.subarray(start, start + 65_536)))
  }
  const body = replies[0]?.predictions[0]?.body
  assert.ok(body !== undefined)
  assert.equal(body.buffer.byteLength, value.length)
  assert.ok(body.equals(value))
})

test('U+FFFD, a byte order mark and NUL are text like any other', () => {
  for (const text of ['\uFFFD', '\uFEFFid', 'a\0b', `${'long '.repeat(20)}\uFFFD`]) {
    const sent = reply({ ...prediction(Buffer.from('x')), id: text, reason: text })
    assertSame(new ReplyDecoder().push(Buffer.concat(encodeReply(sent))), [sent])
  }
})
