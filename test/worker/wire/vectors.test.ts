import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError } from '../../../src/errors.ts'
import { ReplyDecoder, RequestDecoder } from '../../../src/worker/wire/decode.ts'
import { encodeLoad, encodePredict, encodeReply } from '../../../src/worker/wire/encode.ts'
import { NO_GPU } from '../../../src/worker/wire/messages.ts'
import type { WireDialect, WorkerReply, WorkerRequest } from '../../../src/worker/wire/messages.ts'
import { assertSame } from '../../helpers/same.ts'
import { testShared } from '../../helpers/shared.ts'
import {
  BROKEN_MESSAGES,
  NOT_CANONICAL,
  ownVectors,
  sharedVectors,
} from '../../helpers/wire-vectors.ts'
import type { Decoded, Vector, VectorValue } from '../../helpers/wire-vectors.ts'

type Vectors = Readonly<Record<WireDialect, readonly Vector[]>>

const dialects: readonly WireDialect[] = ['mms', 'torchserve']
const shared: Vectors = { mms: sharedVectors('mms'), torchserve: sharedVectors('torchserve') }

/** The original's JSON layer refuses these; the frame around them is sound. */
const BAD_JSON = new Set([
  'malformed-predict-bad-json',
  'malformed-predict-empty-json',
  'malformed-predict-json-bom',
])

/**
 * Shared frames that no encoder sends: the first text of their hex becomes the second when sent
 * again.
 */
const SENT_OTHERWISE: Readonly<Record<string, readonly [string, string]>> = {
  // Batch size 0 and below is sent as 1.
  'load-all-empty': ['000000000000000000000000', '000000000000000000000001'],
  'load-batch-negative': ['fffffffb', '00000001'],
  // Every negative device is the CPU.
  'load-gpu-minus2': ['fffffffe', 'ffffffff'],
  // A negative length that ends no list is an empty text.
  'predict-negative-length-is-empty': ['fffffffe', '00000000'],
  'predict-negative-request-id-length': ['fffffff9', '00000000'],
}

function isReply(vector: Vector): boolean {
  return vector.kind.endsWith('-response')
}

function isSound(vector: Vector): boolean {
  return !('error' in vector.decoded)
}

function decoderFor(vector: Vector, dialect: WireDialect): RequestDecoder | ReplyDecoder {
  return isReply(vector) ? new ReplyDecoder() : new RequestDecoder({ dialect })
}

/** Decodes a whole stream in pieces of `size` bytes, its end included. */
function decode(vector: Vector, dialect: WireDialect, size: number) {
  const decoder = decoderFor(vector, dialect)
  const bytes = Buffer.from(vector.hex, 'hex')
  const messages: (WorkerRequest | WorkerReply)[] = []
  for (let start = 0; start < bytes.length; start += size) {
    messages.push(...decoder.push(bytes.subarray(start, start + size)))
  }
  decoder.end()
  return messages
}

function encode(message: WorkerRequest | WorkerReply, dialect: WireDialect): string {
  if ('code' in message) return Buffer.concat(encodeReply(message)).toString('hex')
  if (message.command === 'load') {
    return Buffer.concat(encodeLoad(message, dialect)).toString('hex')
  }
  assert.ok(message.command === 'predict')
  return Buffer.concat(encodePredict(message.requests)).toString('hex')
}

/** Turns a message into the vector's notation of it; values take the form the vector states. */
function describe(message: WorkerRequest | WorkerReply, decoded: Decoded): unknown {
  if ('code' in message) {
    const predictions = message.predictions.map((prediction) => ({
      requestId: prediction.id,
      contentType: prediction.contentType,
      statusCode: prediction.status,
      reasonPhrase: prediction.reason,
      headers: prediction.headers,
      bodyHex: prediction.body.toString('hex'),
    }))
    return { code: message.code, message: message.message, predictions }
  }
  if (message.command === 'load') {
    const { command: _, ioDescriptor, envelope, limitMaxImagePixels, gpu, ...same } = message
    const tail =
      'envelope' in decoded ? { envelope, limitMaxImagePixels } : { ioFileDescriptor: ioDescriptor }
    return { command: 'L', ...same, gpu: gpu === NO_GPU ? null : gpu, ...tail }
  }
  assert.ok(message.command === 'predict')
  const expected = 'requests' in decoded ? decoded.requests : []
  const requests = message.requests.map((request, index) => ({
    requestId: request.id,
    headers: request.headers,
    parameters: request.parameters.map(({ name, contentType, value }, position) => {
      const form = expected[index]?.parameters[position]?.value.type
      return { name, contentType, value: describeValue(value, form) }
    }),
  }))
  return { command: 'I', requests }
}

function describeValue(value: Buffer, form: VectorValue['type'] | undefined): VectorValue {
  if (form === 'json') return { type: form, json: JSON.parse(value.toString()) }
  if (form === 'text') return { type: form, text: value.toString() }
  return { type: 'bytes', hex: value.toString('hex') }
}

/** `bodyText` repeats `bodyHex`. */
function withoutBodyText(decoded: Decoded): unknown {
  return JSON.parse(
    JSON.stringify(decoded, (key, value) => (key === 'bodyText' ? undefined : value)),
  )
}

/** Two-way tests of all vectors of a dialect. */
function checkSound(origin: string, dialect: WireDialect, vectors: readonly Vector[]): void {
  const sound = vectors.filter(isSound)

  test(`every ${origin} ${dialect} vector decodes to its value, whole and in pieces`, () => {
    for (const vector of sound) {
      for (const size of [vector.hex.length, 7, 1]) {
        const messages = decode(vector, dialect, size)
        const described = messages.map((message) => describe(message, vector.decoded))
        assertSame(described, [withoutBodyText(vector.decoded)], `${vector.name} by ${size}`)
      }
    }
  })

  test(`every ${origin} ${dialect} vector is encoded again byte for byte`, () => {
    for (const vector of sound) {
      const [from, to] = SENT_OTHERWISE[vector.name] ?? ['', '']
      const encoded = decode(vector, dialect, vector.hex.length).map((message) =>
        encode(message, dialect),
      )
      assertSame(encoded, [vector.hex.replace(from, to)], vector.name)
    }
  })

  test(`all ${origin} ${dialect} vectors in one chunk decode one after the other`, () => {
    for (const replies of [false, true]) {
      const one = sound.filter((vector) => isReply(vector) === replies)
      const decoder = replies ? new ReplyDecoder() : new RequestDecoder({ dialect })
      const messages = decoder.push(Buffer.from(one.map(({ hex }) => hex).join(''), 'hex'))
      const described = messages.map((message, index) =>
        describe(message, one[index]?.decoded ?? { command: 'I', requests: [] }),
      )
      assertSame(
        described,
        one.map(({ decoded }) => withoutBodyText(decoded)),
      )
      assert.equal(decoder.isIdle, true)
    }
  })
}

for (const dialect of dialects) {
  checkSound('own', dialect, ownVectors(dialect))
  if (shared[dialect].length > 0) checkSound('shared', dialect, shared[dialect])

  test(`an own ${dialect} vector that is cut anywhere is a protocol error`, () => {
    for (const vector of ownVectors(dialect)) {
      for (let length = 2; length < vector.hex.length; length += 2) {
        const cut = { ...vector, hex: vector.hex.slice(0, length) }
        const what = `${vector.name}, ${length / 2} bytes`
        assert.throws(() => decode(cut, dialect, length), ProtocolError, what)
      }
    }
  })

  testShared(`every malformed shared ${dialect} vector is a protocol error`, {}, () => {
    const malformed = shared[dialect].filter(
      (one) => !isSound(one) && one.hex !== '' && !BAD_JSON.has(one.name),
    )
    assert.ok(malformed.length >= (dialect === 'mms' ? 36 : 1), `${malformed.length} malformed`)
    for (const vector of malformed) {
      for (const size of [vector.hex.length, 1]) {
        assert.throws(() => decode(vector, dialect, size), ProtocolError, vector.name)
      }
    }
  })
}

testShared('no shared vector is missing', {}, () => {
  assert.ok(shared.mms.filter(isSound).length >= 70)
  assert.ok(shared.torchserve.filter(isSound).length >= 12)
})

test('what no encoder sends is understood, and sent again as it should be', () => {
  for (const [what, hex, again] of NOT_CANONICAL) {
    const messages = new RequestDecoder({ dialect: 'mms' }).push(Buffer.from(hex, 'hex'))
    assert.deepEqual(
      messages.map((message) => encode(message, 'mms')),
      [again],
      what,
    )
  }
})

test('commands, lengths, counts and texts that break the protocol are errors', () => {
  for (const [what, hex, areReplies] of BROKEN_MESSAGES) {
    const decoder = areReplies ? new ReplyDecoder() : new RequestDecoder({ dialect: 'mms' })
    assert.throws(() => decoder.push(Buffer.from(hex, 'hex')), ProtocolError, what)
  }
})

test('a value with the type of JSON that is not JSON is returned as its bytes', () => {
  for (const text of ['{bad', '', '\uFEFF{}']) {
    const value = Buffer.from(text)
    const request = {
      id: 'r1',
      headers: [],
      parameters: [{ name: 'body', contentType: 'application/json', value }],
    }
    const frame = Buffer.concat(encodePredict([request]))
    assert.deepEqual(new RequestDecoder({ dialect: 'mms' }).push(frame), [
      { command: 'predict', requests: [request] },
    ])
  }
})

testShared('so is that of a shared vector', {}, () => {
  const values = shared.mms
    .filter((vector) => BAD_JSON.has(vector.name))
    .flatMap((vector) => decode(vector, 'mms', vector.hex.length))
    .flatMap((message) =>
      'command' in message && message.command === 'predict' ? message.requests : [],
    )
    .flatMap((request) => request.parameters.map((one) => [one.contentType, one.value.toString()]))
  assert.deepEqual(values, [
    ['application/json', '{bad'],
    ['application/json', ''],
    ['application/json', '\uFEFF{}'],
  ])
})

test('a connection that ends before its first byte ends well', () => {
  for (const dialect of dialects) {
    const decoder = new RequestDecoder({ dialect })
    assert.deepEqual(decoder.push(Buffer.alloc(0)), [])
    decoder.end()
  }
})
