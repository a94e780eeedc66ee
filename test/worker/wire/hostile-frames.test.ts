import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError } from '../../../src/errors.ts'
import { ReplyDecoder, RequestDecoder } from '../../../src/worker/wire/decode.ts'
import { COMMAND_LOAD, COMMAND_PREDICT } from '../../../src/worker/wire/messages.ts'
import type { WireLimits } from '../../../src/worker/wire/messages.ts'

const MIB = 1024 * 1024
const HUGE = 2 ** 31 - 1
const LIMITS: WireLimits = { maxValueBytes: 100, maxTextBytes: 10, maxCount: 3 }

/** Bytes from numbers (`i32`), texts (`str`) and buffers (as they are). */
function bytes(...fields: (number | string | Buffer)[]): Buffer {
  const parts = fields.map((field) => {
    if (typeof field === 'object') return field
    const text = Buffer.from(String(field))
    const int = Buffer.alloc(4)
    int.writeInt32BE(typeof field === 'number' ? field : text.length)
    return typeof field === 'number' ? int : Buffer.concat([int, text])
  })
  return Buffer.concat(parts)
}

const PREDICT = Buffer.from([COMMAND_PREDICT])
const LOAD = Buffer.from([COMMAND_LOAD])

/** A predict frame up to the length of its value, and a reply up to the length of its body. */
const BEFORE_VALUE = bytes(PREDICT, 'r', -1, 'body', '')
const BEFORE_BODY = bytes(200, '', 'r', '', 200, '', 0)

test('hostile lengths and counts are refused before anything is allocated', () => {
  const before = process.memoryUsage().arrayBuffers
  for (const length of [HUGE, HUGE - 1, 2 ** 30 + 1, -(2 ** 31), -2, -1]) {
    const requests = [bytes(LOAD, length), bytes(PREDICT, length), bytes(BEFORE_VALUE, length)]
    const replies = [bytes(200, length), bytes(200, '', length), bytes(BEFORE_BODY, length)]
    const counts = bytes(200, '', 'r', '', 200, '', length)
    if (length > 0) for (const chunk of requests) assertRefused(new RequestDecoder(), chunk)
    for (const chunk of [...replies, counts]) {
      const isEnd = length === -1 && chunk === replies[1]
      if (!isEnd) assertRefused(new ReplyDecoder(), chunk)
    }
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < MIB)
})

function assertRefused(decoder: RequestDecoder | ReplyDecoder, chunk: Buffer): void {
  assert.throws(() => decoder.push(chunk), ProtocolError, chunk.toString('hex'))
}

test('a length that is allowed but never sent costs a megabyte, not its size', () => {
  const before = process.memoryUsage().arrayBuffers
  const decoders = Array.from({ length: 10 }, () => new RequestDecoder())
  for (const decoder of decoders) decoder.push(bytes(BEFORE_VALUE, 1024 * MIB, Buffer.from('x')))
  assert.ok(process.memoryUsage().arrayBuffers - before < 12 * MIB)
  assert.ok(decoders.every((decoder) => !decoder.isIdle))
})

test('what is exactly at a limit passes, one more is refused, whole and byte by byte', () => {
  const text = (size: number) => bytes(PREDICT, 'i'.repeat(size), -1, -1, -1)
  const value = (size: number) => bytes(BEFORE_VALUE, 'v'.repeat(size), -1, -1)
  const parameters = (count: number) =>
    bytes(PREDICT, 'r', -1, ...Array(count).fill(bytes('p', '', '')), -1, -1)
  const headers = (count: number) =>
    bytes(PREDICT, 'r', ...Array(count).fill(bytes('n', 'v')), -1, -1, -1)
  const batch = (count: number) => bytes(PREDICT, ...Array(count).fill(bytes('r', -1, -1)), -1)
  const cases = [
    [text, 10],
    [value, 100],
    [parameters, 3],
    [headers, 3],
    [batch, 3],
  ] as const
  for (const [make, limit] of cases) {
    for (const size of [1, 1000]) {
      const read = (frame: Buffer) => {
        const decoder = new RequestDecoder({ limits: LIMITS })
        return split(frame, size).flatMap((chunk) => decoder.push(chunk)).length
      }
      assert.equal(read(make(limit)), 1)
      assert.throws(() => read(make(limit + 1)), ProtocolError)
    }
  }
  const counted = (count: number) => bytes(1, '', 'r', '', 1, '', count)
  assert.equal(new ReplyDecoder({ limits: LIMITS }).push(counted(3)).length, 0)
  assertRefused(new ReplyDecoder({ limits: LIMITS }), counted(4))
})

function split(frame: Buffer, size: number): Buffer[] {
  const count = Math.ceil(frame.length / size)
  return Array.from({ length: count }, (_, index) =>
    frame.subarray(index * size, (index + 1) * size),
  )
}

test('text that is not UTF-8 is refused wherever it stands, whole and byte by byte', () => {
  const invalid = ['ff', 'c0af', 'eda080', 'e282', 'f5808080'].map((hex) => Buffer.from(hex, 'hex'))
  const long = (bad: Buffer) => Buffer.concat([Buffer.alloc(100, 'a'), bad])
  for (const bad of [...invalid, ...invalid.map(long)]) {
    const str = bytes(bad.length, bad)
    const requests = [
      bytes(LOAD, str),
      bytes(LOAD, '', '', 1, str),
      bytes(PREDICT, str),
      bytes(PREDICT, 'r', str),
      bytes(PREDICT, 'r', 'n', str),
      bytes(PREDICT, 'r', -1, str),
      bytes(PREDICT, 'r', -1, 'p', str),
    ]
    const replies = [
      bytes(200, str),
      bytes(200, '', str),
      bytes(200, '', 'r', str),
      bytes(200, '', 'r', '', 200, str),
      bytes(200, '', 'r', '', 200, '', 1, str),
      bytes(200, '', 'r', '', 200, '', 1, 'n', str),
    ]
    for (const size of [1, 1000]) {
      const push = (decoder: RequestDecoder | ReplyDecoder, frame: Buffer) =>
        split(frame, size).forEach((chunk) => decoder.push(chunk))
      for (const one of requests)
        assert.throws(() => push(new RequestDecoder(), one), ProtocolError)
      for (const one of replies) assert.throws(() => push(new ReplyDecoder(), one), ProtocolError)
    }
  }
})
