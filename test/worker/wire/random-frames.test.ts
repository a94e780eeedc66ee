import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError } from '../../../src/errors.ts'
import { ReplyDecoder, RequestDecoder } from '../../../src/worker/wire/decode.ts'
import {
  encodeCancel,
  encodeLoad,
  encodePredict,
  encodeReply,
} from '../../../src/worker/wire/encode.ts'
import type {
  WireDialect,
  WireHeader,
  WorkerReply,
  WorkerRequest,
} from '../../../src/worker/wire/messages.ts'
import { assertSame } from '../../helpers/same.ts'

const ROUND_TRIPS = 3000
const MUTATIONS = 25_000
/** A length of the edges of each field type, put in place of four bytes. */
const EDGES = [-(2 ** 31), -2, -1, 0, 1, 127, 128, 65_535, 2 ** 20, 2 ** 30, 2 ** 31 - 1]
const ASCII = Array.from('abcXYZ-/:09 ')
const BEYOND_ASCII = Array.from('äß€模型😀\uFFFD\0a')

/** Whole numbers below a bound, the same ones for the same seed (Mulberry32). */
function seeded(seed: number): (bound: number) => number {
  let state = seed
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound)
  }
}

/** Random messages of every shape; most lengths are short, some cross the decoder's thresholds. */
class Messages {
  readonly #below: (bound: number) => number

  constructor(below: (bound: number) => number) {
    this.#below = below
  }

  request(dialect: WireDialect): WorkerRequest {
    if (this.#below(10) === 0) return { command: 'cancel', id: this.#text() }
    if (this.#below(4) > 0) {
      const requests = this.#list(4, () => ({
        id: this.#text(),
        headers: this.#headers(),
        parameters: this.#list(4, () => ({
          name: this.#text(),
          contentType: this.#text(),
          value: this.#value(),
        })),
      }))
      return { command: 'predict', requests }
    }
    return {
      command: 'load',
      modelName: this.#text(),
      modelPath: this.#text(),
      batchSize: 1 + this.#below(2 ** 31 - 1),
      handler: this.#text(),
      gpu: this.#below(9) - 1,
      ioDescriptor: dialect === 'mms' ? this.#text() : '',
      envelope: dialect === 'mms' ? '' : this.#text(),
      limitMaxImagePixels: dialect === 'mms' || this.#below(2) === 1,
    }
  }

  reply(): WorkerReply {
    const predictions = this.#list(4, () => ({
      id: this.#text(),
      contentType: this.#text(),
      status: this.#below(2 ** 32) - 2 ** 31,
      reason: this.#text(),
      headers: this.#headers(),
      body: this.#value(),
    }))
    return { code: this.#below(2 ** 32) - 2 ** 31, message: this.#text(), predictions }
  }

  #headers(): WireHeader[] {
    return this.#list(6, () => [this.#text(), this.#text()] as const)
  }

  #list<T>(bound: number, make: () => T): T[] {
    return Array.from({ length: this.#below(bound) }, make)
  }

  #text(): string {
    const characters = this.#below(8) === 0 ? BEYOND_ASCII : ASCII
    const length = this.#below(20) === 0 ? this.#below(1500) : this.#below(40)
    return Array.from({ length }, () => characters[this.#below(characters.length)]).join('')
  }

  #value(): Buffer {
    const length = this.#below(10) === 0 ? this.#below(20_000) : this.#below(100)
    return Buffer.alloc(length, this.#below(256))
  }
}

function encode(message: WorkerRequest | WorkerReply, dialect: WireDialect): Buffer {
  if ('code' in message) return Buffer.concat(encodeReply(message))
  if (message.command === 'load') return Buffer.concat(encodeLoad(message, dialect))
  if (message.command === 'cancel') return Buffer.concat(encodeCancel(message.id))
  return Buffer.concat(encodePredict(message.requests))
}

/** Feeds a stream in pieces of random sizes, from single bytes to everything at once. */
function feed(
  decoder: RequestDecoder | ReplyDecoder,
  stream: Buffer,
  below: (bound: number) => number,
): (WorkerRequest | WorkerReply)[] {
  const messages: (WorkerRequest | WorkerReply)[] = []
  const most = [1, 4, 50, 3000, stream.length][below(5)] ?? 1
  for (let start = 0; start < stream.length;) {
    const end = start + 1 + below(most)
    messages.push(...decoder.push(stream.subarray(start, end)))
    start = end
  }
  decoder.end()
  return messages
}

test('random messages come back the same, however the stream is split', () => {
  const below = seeded(1)
  const messages = new Messages(below)
  for (let round = 0; round < ROUND_TRIPS; round++) {
    const dialect: WireDialect = below(2) === 0 ? 'mms' : 'torchserve'
    const isReply = below(2) === 0
    const sent = Array.from({ length: 1 + below(3) }, () =>
      isReply ? messages.reply() : messages.request(dialect),
    )
    const stream = Buffer.concat(sent.map((message) => encode(message, dialect)))
    const decoder = isReply ? new ReplyDecoder() : new RequestDecoder({ dialect })
    assertSame(feed(decoder, stream, below), sent, `round ${round}`)
  }
})

test('damaged frames raise protocol errors and nothing else', () => {
  const below = seeded(2)
  const messages = new Messages(below)
  const sound = Array.from({ length: 200 }, (_, index): [boolean, Buffer] => {
    const isReply = index % 2 === 0
    return [isReply, encode(isReply ? messages.reply() : messages.request('mms'), 'mms')]
  })
  let refused = 0
  for (let round = 0; round < MUTATIONS; round++) {
    const [isReply, frame] = sound[below(sound.length)] ?? [false, Buffer.alloc(0)]
    const damaged = damage(frame, below)
    try {
      feed(isReply ? new ReplyDecoder() : new RequestDecoder(), damaged, below)
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `round ${round}: ${String(error)}`)
      assert.equal(error.cause, undefined, `round ${round}: ${String(error.cause)}`)
      refused++
    }
  }
  assert.ok(refused > MUTATIONS / 4 && refused < MUTATIONS, `${refused} were refused`)
})

/** One to three injuries: a byte, an integer at an edge, a cut, a piece taken out or doubled. */
function damage(frame: Buffer, below: (bound: number) => number): Buffer {
  let damaged = Buffer.from(frame)
  for (let injuries = 1 + below(3); injuries > 0; injuries--) {
    const at = below(Math.min(damaged.length, 400) + 1)
    const kind = below(5)
    if (kind === 0 && at < damaged.length) damaged[at] = below(256)
    if (kind === 1 && at + 4 <= damaged.length) damaged.writeInt32BE(edge(below), at)
    if (kind === 2) damaged = damaged.subarray(0, at)
    if (kind === 3) damaged = Buffer.concat([damaged.subarray(0, at), damaged.subarray(at + 4)])
    if (kind === 4) damaged = Buffer.concat([damaged.subarray(0, at), damaged.subarray(at >> 1)])
  }
  return damaged
}

function edge(below: (bound: number) => number): number {
  return EDGES[below(EDGES.length)] ?? 0
}
