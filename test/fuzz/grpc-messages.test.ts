/** Requests of gRPC that are damaged: the scanner of the front-end, and the codec of the worker. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Datatype } from '../../src/contract/datatypes.ts'
import { ServerError } from '../../src/errors.ts'
import { scanInferRequest } from '../../src/routes/grpc/services/infer-scan.ts'
import { MessageCodec } from '../../src/worker/process/onnx/oip/grpc-messages/codec.ts'
import type { TensorSpec } from '../../src/worker/process/onnx/tensors/metadata.ts'
import type { Tensor } from '../../src/worker/process/onnx/tensors/tensor.ts'
import { size } from '../faults/harness.ts'
import { inferMessage, protoFile } from '../helpers/grpc.ts'
import type { Message } from '../helpers/grpc.ts'
import { randomTensor } from '../helpers/random-tensor.ts'
import { randomNumbers } from '../helpers/random.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { Mutator, checkFuzz, pick } from './fuzz.ts'
import { modelOf } from './json-readers.ts'

const SPECS = (['FP32', 'INT64', 'BYTES', 'UINT8', 'BOOL'] as const).map(
  (datatype): TensorSpec => ({
    name: datatype.toLowerCase(),
    datatype,
    shape: [-1, -1],
    dimensions: ['', ''],
  }),
)
const LIMITS = { maxResponseBytes: 1 << 20, maxJsonBytes: 1 << 20, maxJsonDepth: 100 }
const CODEC = new MessageCodec(modelOf(SPECS), LIMITS)
const REQUEST = protoFile('inference').lookupType('ModelInferRequest')
/** Tags, huge varints, lengths, groups, and names that mean something. */
const TOKENS = [
  ...[0x0a, 0x12, 0x1a, 0x22, 0x2a, 0x32, 0x3a, 0x0b, 0x0c, 0x08, 0x0d, 0x09, 0x00].map((tag) =>
    Buffer.from([tag]),
  ),
  Buffer.from('ffffffffffffffffff01', 'hex'),
  Buffer.from('ffffffffffffffffffff01', 'hex'),
  Buffer.from('ffffffff0f', 'hex'),
  Buffer.from('ffffffff7f', 'hex'),
  Buffer.from('3a00', 'hex'),
  Buffer.from('2a00', 'hex'),
  Buffer.from('priority'),
  Buffer.from('timeout'),
  Buffer.from('shared_memory_region'),
  Buffer.from('FP32'),
  Buffer.from('int64'),
]
const NUMBERS: ReadonlySet<Datatype> = new Set(['INT64', 'UINT8', 'BOOL', 'FP32'])

/** A valid request for the model: all inputs as raw bytes, or some numbers as `contents`. */
function soundRequest(random: RandomNumbers): Buffer {
  const isRaw = random.next() < 0.5
  const tensors = SPECS.map(({ datatype }) => randomTensor(random, datatype))
  const rows = tensors.map((tensor) =>
    isRaw || !NUMBERS.has(tensor.datatype) || tensor.bytes.length > 0
      ? tensor
      : { ...tensor, shape: [0, 0] },
  )
  const inputs = rows.map(({ datatype, shape, bytes }): Message => {
    const input = { name: datatype.toLowerCase(), datatype, shape }
    return isRaw ? input : { ...input, contents: contentsOf(datatype, bytes) }
  })
  const parameters = { priority: { int64_param: 1 }, own: { string_param: 'x' } }
  return inferMessage({
    model_name: 'model',
    model_version: pick(random, ['', '1']),
    id: pick(random, ['', 'an id', 'é']),
    inputs,
    ...(random.next() < 0.5 && { parameters }),
    ...(random.next() < 0.3 && { outputs: [{ name: 'int64' }] }),
    ...(isRaw && { raw_input_contents: rows.map(({ bytes }) => bytes) }),
  })
}

function contentsOf(datatype: Datatype, bytes: Buffer): Message {
  const count = (width: number): number => bytes.length / width
  switch (datatype) {
    case 'FP32':
      return { fp32_contents: Array.from({ length: count(4) }, (_, i) => bytes.readFloatLE(4 * i)) }
    case 'INT64':
      return {
        int64_contents: Array.from({ length: count(8) }, (_, i) =>
          String(bytes.readBigInt64LE(8 * i)),
        ),
      }
    case 'UINT8':
      return { uint_contents: [...bytes] }
    case 'BOOL':
      return { bool_contents: [...bytes].map((byte) => byte === 1) }
    default: {
      const elements: Buffer[] = []
      for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at))
        elements.push(bytes.subarray(at + 4, at + 4 + bytes.readUInt32LE(at)))
      return { bytes_contents: elements }
    }
  }
}

/** Whether `read` accepts the bytes. Fails for anything but a rejection with 4xx. */
function accepts<Result>(bytes: Buffer, read: () => Result): Result | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof ServerError && error.statusCode >= 400 && error.statusCode < 500)
      return undefined
    throw new Error(`${String(error)} for ${bytes.toString('hex')}`, { cause: error })
  }
}

function check(bytes: Buffer): boolean {
  const scanned = accepts(bytes, () => scanInferRequest(bytes))
  const parameters = [{ name: 'body', contentType: '', value: bytes }]
  const decoded = accepts(bytes, () => CODEC.decode({ id: 'r', headers: [], parameters }))
  for (const tensor of decoded?.inputs ?? []) checkTensor(tensor)
  // protobufjs lets a message inside of another one end behind it, which is rejected here.
  const read = scanned && decoded && whole(bytes)
  if (read !== undefined) {
    assert.equal(scanned?.model, read['model_name'], bytes.toString('hex'))
    assert.equal(scanned?.id.toString(), read['id'], bytes.toString('hex'))
    const [first] = read['raw_input_contents'] as Buffer[]
    const at = scanned?.tensorsAt ?? 0
    if (first !== undefined)
      assert.ok(bytes.subarray(at, at + first.length).equals(first), bytes.toString('hex'))
  }
  return decoded !== undefined
}

function checkTensor({ datatype, shape, data }: Tensor): void {
  assert.equal(
    data.length,
    shape.reduce((product, dimension) => product * dimension, 1),
  )
  if (datatype === 'BOOL') assert.ok(data.every((bit) => bit === 0 || bit === 1))
}

/** The message as protobufjs reads it; `undefined` if it does not. */
function whole(bytes: Buffer): Message | undefined {
  try {
    const options = { longs: String, bytes: Buffer, defaults: true }
    return REQUEST.toObject(REQUEST.decode(bytes), options)
  } catch {
    return undefined
  }
}

function run(random: RandomNumbers, count: number): number {
  Error.stackTraceLimit = 0
  const mutator = new Mutator(random, TOKENS)
  let accepted = 0
  let sound = soundRequest(random)
  for (let tried = 0; tried < count; tried++) {
    const other = sound
    if (tried % 16 === 0) {
      sound = soundRequest(random)
      assert.ok(check(sound), sound.toString('hex'))
    }
    if (check(mutator.mutate(sound, other, 2))) accepted++
  }
  assert.ok(accepted > 0 && accepted < count, `${accepted} of ${count} were accepted`)
  return count
}

test('every rejected message of gRPC is rejected in order, at full size a million', async (t) => {
  await checkFuzz(t, {
    what: 'fuzz: messages of gRPC',
    goal: '≥ 10⁶, 0 crashes',
    total: size(2000, 1_000_000),
    perRun: size(1000, 10_000),
    run,
  })
})

test('hostile messages cost little and get a reason', () => {
  const varint = Buffer.from('ffffffffffffffffff01', 'hex')
  const many = (piece: Buffer, count: number): Buffer => Buffer.concat(Array(count).fill(piece))
  const cases: [string, Buffer, RegExp][] = [
    ['10^6 empty inputs', many(Buffer.from('2a00', 'hex'), 1_000_000), /more than 65536 fields/],
    ['huge length', Buffer.from('2affffffff0f', 'hex'), /truncated/],
    ['overlong length', Buffer.concat([Buffer.from('2a', 'hex'), varint]), /length is too long/],
    ['cut varint', Buffer.from('2aff', 'hex'), /truncated/],
    ['field number 0', Buffer.from('0200', 'hex'), /no number/],
    ['group', Buffer.from('0b0c', 'hex'), /groups/],
    ['endless varint', Buffer.concat([Buffer.from('08', 'hex'), many(varint, 10)]), /./],
    ['name of 1 MB', inferMessage({ model_name: 'x'.repeat(1e6) }), /more than 1024 bytes/],
    ['id of 1 MB', inferMessage({ id: 'x'.repeat(1e6) }), /more than 65536 bytes/],
  ]
  for (const [what, bytes, reason] of cases) {
    const startedAt = process.cpuUsage()
    assert.throws(() => scanInferRequest(bytes), reason, what)
    const { user, system } = process.cpuUsage(startedAt)
    assert.ok(user + system < 500_000, what)
  }
  assert.ok(run(randomNumbers(1), 200) === 200)
})
