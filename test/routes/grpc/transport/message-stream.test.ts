import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync, gzipSync } from 'node:zlib'
import { ServerError } from '../../../../src/errors.ts'
import { MessageStream, decompress } from '../../../../src/routes/grpc/transport/message-stream.ts'
import { randomNumbers, testSeed } from '../../../helpers/random.ts'

const KEEP = { maxBytes: 1 << 20, hold: () => {} }

function framed(message: Buffer, flags = 0): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = flags
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

test('messages come out as they went in, wherever the bytes are cut', () => {
  const random = randomNumbers(testSeed())
  for (let round = 0; round < 50; round++) {
    const sent = Array.from({ length: random.integer(1, 6) }, () =>
      Buffer.alloc(random.integer(0, round % 10 === 0 ? 200_000 : 300), random.integer(0, 255)),
    )
    const bytes = Buffer.concat(sent.map((message) => framed(message)))
    const got: Buffer[] = []
    const stream = new MessageStream(KEEP)
    for (let at = 0; at < bytes.length;) {
      const end = at + random.integer(1, random.next() < 0.5 ? 7 : 70_000)
      stream.add(bytes.subarray(at, end), ({ bytes: message }) => got.push(Buffer.from(message)))
      at = end
    }
    assert.equal(stream.begunAt, undefined)
    assert.deepEqual(got, sent)
  }
})

test('memory is held for received bytes, not for announced ones', () => {
  let held = 0
  const stream = new MessageStream({ maxBytes: 1 << 30, hold: (bytes) => (held += bytes) })
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(1 << 29, 1)
  stream.add(Buffer.concat([prefix, Buffer.alloc(100)]), () => assert.fail('it is not complete'))
  assert.equal(held, 100)
  assert.ok(stream.begunAt !== undefined)
  stream.add(Buffer.alloc(1000), () => assert.fail('it is not complete'))
  assert.ok(held <= 2 << 20, String(held))
  stream.drop()
})

test('a message above the limit is rejected with both figures before it arrives', () => {
  const stream = new MessageStream({ ...KEEP, maxBytes: 10 })
  const add = (bytes: Buffer): void => stream.add(bytes, () => {})
  assert.throws(() => add(framed(Buffer.alloc(11)).subarray(0, 5)), /has 11 bytes; the limit is 10/)
  assert.throws(() => new MessageStream(KEEP).add(framed(Buffer.alloc(0), 2), () => {}), /is 2/)
})

test('compressed messages are decompressed within the limit', async () => {
  const plain = Buffer.alloc(100_000, 'tensor')
  for (const [coding, packed] of [
    ['gzip', gzipSync(plain)],
    ['deflate', deflateSync(plain)],
  ] as const) {
    const message = { bytes: packed, isCompressed: true }
    assert.deepEqual(await decompress(message, coding, KEEP), plain)
    const small = { ...KEEP, maxBytes: 99_999 }
    const isLarge = (error: unknown): boolean =>
      error instanceof ServerError && error.statusCode === 413 && /99999/.test(error.message)
    await assert.rejects(decompress(message, coding, small), isLarge)
    const damaged = { bytes: packed.subarray(0, 40), isCompressed: true }
    await assert.rejects(decompress(damaged, coding, KEEP), /not valid/)
  }
  const plainMessage = { bytes: plain, isCompressed: false }
  assert.equal(await decompress(plainMessage, 'snappy', KEEP), plain)
  const unknown = { bytes: plain, isCompressed: true }
  await assert.rejects(decompress(unknown, 'snappy', KEEP), /"snappy" is not supported/)
})
