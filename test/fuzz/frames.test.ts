/** Both decoders of the worker protocol, against a reader that is too simple to be wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ProtocolError } from '../../src/errors.ts'
import { ReplyDecoder, RequestDecoder } from '../../src/worker/wire/decode.ts'
import { encodeLoad, encodePredict, encodeReply } from '../../src/worker/wire/encode.ts'
import type { WireLimits, WorkerReply, WorkerRequest } from '../../src/worker/wire/messages.ts'
import { size } from '../faults/harness.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { ByteCount } from './byte-count.ts'
import { FrameReader } from './frame-reader.ts'
import type { FrameKind, Outcome } from './frame-reader.ts'
import { Mutator, checkFuzz, corpus, pick } from './fuzz.ts'

interface Fixture {
  readonly what: string
  readonly kind: FrameKind
  readonly hex: string
}
type Message = WorkerRequest | WorkerReply

/** Small, so that small frames reach them. */
const LIMITS: WireLimits = { maxValueBytes: 4096, maxTextBytes: 512, maxCount: 16 }
const KINDS: readonly FrameKind[] = ['reply', 'mms', 'torchserve']
const FIXTURES = corpus<Fixture>('frames')
const TEXTS = ['', '', 'a', 'r1', 'body', 'body', 'application/json', 'ü€😀', '\0']
const LONG_TEXTS = [
  'x'.repeat(64),
  'x'.repeat(65),
  'é'.repeat(40),
  'n'.repeat(512),
  '€'.repeat(171),
]
/** Of frames before they are injured, in one run of the property. */
const BASES = 100

/**
 * The result of a decoder for bytes in these pieces. With `isReused`, each piece is overwritten
 * after it was read.
 */
function decode(kind: FrameKind, pieces: readonly Buffer[], isReused: boolean): Outcome {
  const allocate = (bytes: number): Buffer => Buffer.alloc(bytes)
  const decoder =
    kind === 'reply'
      ? new ReplyDecoder({ limits: LIMITS, isReused, allocate })
      : new RequestDecoder({ dialect: kind, limits: LIMITS })
  const messages: Message[] = []
  try {
    for (const piece of pieces) {
      for (const message of decoder.push(piece)) messages.push(message)
      if (isReused) piece.fill(0xdd)
    }
  } catch (error) {
    if (!(error instanceof ProtocolError) || error.cause !== undefined) throw error
    return { state: 'refused', messages, problem: error.message }
  }
  return { state: decoder.isIdle ? 'whole' : 'begun', messages }
}

/** Deep equality of messages; `assert.deepEqual` would take most of the time. */
function isSame(one: unknown, other: unknown): boolean {
  if (Buffer.isBuffer(one)) return Buffer.isBuffer(other) && one.equals(other)
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null)
    return one === other
  const keys = Object.keys(one)
  if (keys.length !== Object.keys(other).length) return false
  return keys.every((key) => isSame(Reflect.get(one, key), Reflect.get(other, key)))
}

/** Two to five pieces of a copy; now and then many, of some bytes or one. */
function split(frame: Buffer, random: RandomNumbers): Buffer[] {
  const copy = Buffer.from(frame)
  const most = random.next() < 0.02 ? random.integer(1, 9) : frame.length >> 1
  const pieces: Buffer[] = []
  for (let at = 0; at < copy.length;) {
    const end = at + random.integer(1, Math.max(most, 1))
    pieces.push(copy.subarray(at, end))
    at = end
  }
  return pieces
}

/** The whole property of one frame: the simple reader's outcome, however it is cut. */
function check(kind: FrameKind, frame: Buffer, random: RandomNumbers): Outcome {
  const expected = new FrameReader(frame, kind, LIMITS).read()
  const whole = decode(kind, [frame], false)
  const isReused = kind === 'reply' && random.next() < 0.5
  const cut = decode(kind, split(frame, random), isReused)
  // Messages before a violation come or not, as the chunk has both or not.
  const isMessages = ({ messages }: Outcome): boolean =>
    expected.state === 'refused' || isSame(messages, expected.messages)
  const isRight = whole.state === expected.state && isMessages(whole)
  const isIndependent =
    cut.state === whole.state && cut.problem === whole.problem && isMessages(cut)
  if (isRight && isIndependent) return expected
  const hex = new Error(`${kind} ${frame.toString('hex')}`)
  assert.deepEqual({ whole, cut }, { whole: expected, cut: expected }, hex)
  throw hex
}

function randomText(random: RandomNumbers): string {
  return pick(random, random.next() < 0.01 ? LONG_TEXTS : TEXTS)
}

function list<Item>(random: RandomNumbers, make: () => Item): Item[] {
  return Array.from({ length: random.integer(0, 2) }, make)
}

/** One or two sound messages, as bytes. */
function randomFrame(random: RandomNumbers, kind: FrameKind): Buffer {
  const headers = () => list(random, () => [randomText(random), randomText(random)] as const)
  const value = () =>
    Buffer.alloc(random.integer(0, pick(random, [3, 3, 3, 30])), random.integer(0, 255))
  const count = random.integer(1, 2)
  const frames = Array.from({ length: count }, () => {
    if (kind === 'reply') {
      return encodeReply({
        code: random.integer(-5, 600),
        message: randomText(random),
        predictions: list(random, () => ({
          id: randomText(random),
          contentType: randomText(random),
          status: random.integer(-1, 700),
          reason: randomText(random),
          headers: headers(),
          body: value(),
        })),
      })
    }
    if (random.next() < 0.3) {
      return encodeLoad(
        {
          command: 'load',
          modelName: randomText(random),
          modelPath: randomText(random),
          batchSize: random.integer(1, 99),
          handler: randomText(random),
          gpu: random.integer(-1, 3),
          ioDescriptor: randomText(random),
          envelope: randomText(random),
          limitMaxImagePixels: random.next() < 0.5,
        },
        kind,
      )
    }
    const parameters = () =>
      list(random, () => ({
        name: randomText(random),
        contentType: randomText(random),
        value: value(),
      }))
    return encodePredict(
      list(random, () => ({
        id: randomText(random),
        headers: headers(),
        parameters: parameters(),
      })),
    )
  })
  return Buffer.concat(frames.flat())
}

/** Injures sound frames and fixtures of one kind. */
function run(random: RandomNumbers, count: number): number {
  const kind = pick(random, KINDS)
  // Half of the frames end in an error, whose stack would take most of the time.
  Error.stackTraceLimit = 0
  const bases = [
    ...FIXTURES.filter((fixture) => fixture.kind === kind).map(({ hex }) =>
      Buffer.from(hex, 'hex'),
    ),
    ...Array.from({ length: BASES }, () => randomFrame(random, kind)),
  ]
  const states = new Set<string>()
  const mutator = new Mutator(random)
  for (const base of bases) check(kind, base, random)
  for (let tried = bases.length; tried < count; tried++)
    states.add(check(kind, mutator.mutate(pick(random, bases), pick(random, bases)), random).state)
  assert.deepEqual([...states].toSorted(), ['begun', 'refused', 'whole'])
  return count
}

test('a decoder that has refused a frame refuses everything', () => {
  for (const decoder of [new ReplyDecoder(), new RequestDecoder()]) {
    const refuse = (bytes: Buffer) => () => decoder.push(bytes)
    assert.throws(refuse(Buffer.alloc(8, 0x7f)), ProtocolError)
    assert.throws(refuse(Buffer.concat(encodePredict([]))), ProtocolError)
    assert.throws(refuse(Buffer.alloc(0)), ProtocolError)
    assert.throws(() => decoder.end(), ProtocolError)
  }
})

test('the frames of the corpus, cut at every place', () => {
  const random = { next: () => 0, integer: (least: number) => least }
  for (const { kind, hex } of FIXTURES) {
    const frame = Buffer.from(hex, 'hex')
    const expected = check(kind, frame, random)
    for (let at = 1; at < frame.length; at++) {
      const { state, messages } = decode(kind, [frame.subarray(0, at), frame.subarray(at)], false)
      assert.equal(state, expected.state, `${hex} at ${at}`)
      if (state !== 'refused') assert.ok(isSame(messages, expected.messages), `${hex} at ${at}`)
    }
  }
})

test('random bytes are refused, begun or read as the simple reader reads them', () => {
  const input = fc.tuple(fc.constantFrom(...KINDS), fc.uint8Array({ maxLength: 80 }), fc.nat())
  const property = fc.property(input, ([kind, bytes, seed]) => {
    check(kind, Buffer.from(bytes), {
      next: () => 0,
      integer: (least, most) => least + (seed % (most - least + 1)),
    })
  })
  const examples = FIXTURES.map(({ kind, hex }): [[FrameKind, Uint8Array, number]] => [
    [kind, Buffer.from(hex, 'hex'), 0],
  ])
  fc.assert(property, { numRuns: size(1000, 200_000), examples })
})

test('P12 injured frames cost the typed error or are read right, however they are cut', async (t) => {
  await checkFuzz(t, {
    what: 'fuzz: frames',
    goal: '≥ 10⁷, 0 crashes',
    total: size(8000, 10_000_000),
    perRun: size(2000, 20_000),
    run,
  })
})

test('P12 the work to read grows with the bytes, not faster', (t) => {
  const limits = { ...LIMITS, maxValueBytes: 1 << 24, maxCount: 65_536 }
  const headers = (count: number): Buffer => {
    const pairs = Array.from({ length: count }, (_, index) => [`name${index}`, 'v'] as const)
    return Buffer.concat(encodePredict([{ id: 'r', headers: pairs, parameters: [] }]))
  }
  const value = (count: number): Buffer => {
    const body = { name: 'body', contentType: '', value: Buffer.alloc(20 * count) }
    return Buffer.concat(encodePredict([{ id: 'r', headers: [], parameters: [body] }]))
  }
  const work = new ByteCount(t)
  const perByte = (frame: Buffer, step: number): number => {
    const decoder = new RequestDecoder({ limits })
    work.bytes = 0
    for (let at = 0; at < frame.length; at += step) {
      decoder.push(work.watch(frame.subarray(at, at + step)))
    }
    assert.ok(decoder.isIdle)
    assert.ok(work.bytes > 0)
    return work.bytes / frame.length
  }
  for (const make of [headers, value]) {
    for (const step of [1, 100, 1 << 22]) {
      const most = step === 1 ? 8000 : 128_000
      const count = make === headers ? Math.min(most, 32_000) : most
      const small = perByte(make(count / 8), step)
      const large = perByte(make(count), step)
      // Quadratic work would be eight times as much for a byte.
      const text = `${large} instead of ${small} bytes read, copied or allocated for one`
      assert.ok(large < 2 * small, `${make.name} in steps of ${step}: ${text}`)
    }
  }
})
