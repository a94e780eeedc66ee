import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { ProtocolError } from '../../../src/errors.ts'
import { ReplyDecoder, RequestDecoder } from '../../../src/worker/wire/decode.ts'
import { encodeLoad, encodePredict, encodeReply } from '../../../src/worker/wire/encode.ts'
import { NO_GPU } from '../../../src/worker/wire/messages.ts'
import type { WireDialect, WorkerReply, WorkerRequest } from '../../../src/worker/wire/messages.ts'

type Pair = readonly [string, string]
type VectorValue =
  | { type: 'bytes'; hex: string }
  | { type: 'text'; text: string }
  | { type: 'json'; json: unknown }
type DecodedLoad = {
  modelName: string
  modelPath: string
  batchSize: number
  handler: string
  gpu: number | null
  ioFileDescriptor?: string
  envelope?: string
  limitMaxImagePixels?: boolean
}
type DecodedPredict = {
  requests: {
    requestId: string
    headers: Pair[]
    parameters: { name: string; contentType: string; value: VectorValue }[]
  }[]
}
type DecodedReply = {
  code: number
  message: string
  predictions: {
    requestId: string
    contentType: string
    statusCode: number
    reasonPhrase: string
    headers: Pair[]
    bodyHex: string
  }[]
}
type Decoded = DecodedLoad | DecodedPredict | DecodedReply | { error: { type: string } }
interface Vector {
  readonly name: string
  readonly kind: 'load' | 'predict' | 'load-response' | 'predict-response'
  readonly hex: string
  readonly decoded: Decoded
}

const folder = path.resolve(process.cwd(), '../shared/vectors')
const skip = existsSync(folder) ? false : 'needs ../shared/vectors'
const vectors: Record<WireDialect, Vector[]> = { mms: read('mms'), torchserve: read('torchserve') }
const dialects: readonly WireDialect[] = ['mms', 'torchserve']

/** The original's JSON layer refuses these; the frame around them is sound. */
const BAD_JSON = new Set([
  'malformed-predict-bad-json',
  'malformed-predict-empty-json',
  'malformed-predict-json-bom',
])

/** Frames that no encoder sends: the first text of their hex becomes the second when sent again. */
const NOT_CANONICAL: Readonly<Record<string, Pair>> = {
  // Batch size 0 and below is sent as 1.
  'load-all-empty': ['000000000000000000000000', '000000000000000000000001'],
  'load-batch-negative': ['fffffffb', '00000001'],
  // Every negative device is the CPU.
  'load-gpu-minus2': ['fffffffe', 'ffffffff'],
  // A negative length that ends no list is an empty text.
  'predict-negative-length-is-empty': ['fffffffe', '00000000'],
  'predict-negative-request-id-length': ['fffffff9', '00000000'],
}

function read(dialect: WireDialect): Vector[] {
  if (skip !== false) return []
  const files = readdirSync(path.join(folder, dialect)).filter((file) => file.endsWith('.json'))
  return files.map((file) => JSON.parse(readFileSync(path.join(folder, dialect, file), 'utf8')))
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

for (const dialect of dialects) {
  test(
    `every sound ${dialect} vector decodes to its stated value, whole and byte by byte`,
    { skip },
    () => {
      const sound = vectors[dialect].filter(isSound)
      assert.ok(sound.length >= (dialect === 'mms' ? 70 : 12), `${sound.length} sound vectors`)
      for (const vector of sound) {
        for (const size of [vector.hex.length, 7, 1]) {
          const messages = decode(vector, dialect, size)
          const described = messages.map((message) => describe(message, vector.decoded))
          assert.deepEqual(
            described,
            [withoutBodyText(vector.decoded)],
            `${vector.name} by ${size}`,
          )
        }
      }
    },
  )

  test(`every sound ${dialect} vector is encoded again byte for byte`, { skip }, () => {
    for (const vector of vectors[dialect].filter(isSound)) {
      const [from, to] = NOT_CANONICAL[vector.name] ?? ['', '']
      const encoded = decode(vector, dialect, vector.hex.length).map((message) =>
        encode(message, dialect),
      )
      assert.deepEqual(encoded, [vector.hex.replace(from, to)], vector.name)
    }
  })

  test(
    `all sound ${dialect} vectors of a kind in one chunk decode one after the other`,
    { skip },
    () => {
      for (const replies of [false, true]) {
        const sound = vectors[dialect].filter((one) => isSound(one) && isReply(one) === replies)
        const decoder = replies ? new ReplyDecoder() : new RequestDecoder({ dialect })
        const messages = decoder.push(Buffer.from(sound.map((one) => one.hex).join(''), 'hex'))
        const described = messages.map((one, index) =>
          describe(one, sound[index]?.decoded ?? { requests: [] }),
        )
        assert.deepEqual(
          described,
          sound.map((one) => withoutBodyText(one.decoded)),
        )
        assert.equal(decoder.isIdle, true)
      }
    },
  )

  test(
    `every malformed ${dialect} vector is a protocol error, whole and byte by byte`,
    { skip },
    () => {
      const malformed = vectors[dialect].filter(
        (one) => !isSound(one) && one.hex !== '' && !BAD_JSON.has(one.name),
      )
      assert.ok(malformed.length >= (dialect === 'mms' ? 36 : 1), `${malformed.length} malformed`)
      for (const vector of malformed) {
        for (const size of [vector.hex.length, 1]) {
          assert.throws(() => decode(vector, dialect, size), ProtocolError, vector.name)
        }
      }
    },
  )
}

test('a value that is not the JSON it claims to be is delivered as its bytes', { skip }, () => {
  const values = vectors.mms
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

test('a connection that ends before its first byte ends well', { skip }, () => {
  const vector = vectors.mms.find((one) => one.name === 'malformed-no-bytes')
  assert.ok(vector !== undefined)
  assert.deepEqual(decode(vector, 'mms', 1), [])
})
