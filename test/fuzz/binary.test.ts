/** Requests with binary tensors: lengths, shapes and bytes that agree, and such that do not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Datatype } from '../../src/contract/datatypes.ts'
import { ServerError } from '../../src/errors.ts'
import { readHeaders } from '../../src/worker/process/onnx/headers.ts'
import { ProtocolCodec } from '../../src/worker/process/onnx/oip/codec.ts'
import { elementToBytes } from '../../src/worker/process/onnx/tensors/byte-strings.ts'
import type { TensorSpec } from '../../src/worker/process/onnx/tensors/metadata.ts'
import type { Tensor } from '../../src/worker/process/onnx/tensors/tensor.ts'
import { size } from '../faults/harness.ts'
import { randomNumbers } from '../helpers/random.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { Mutator, checkFuzz, corpus, pick } from './fuzz.ts'
import { modelOf } from './json-readers.ts'

interface Fixture {
  readonly what: string
  readonly length: string
  readonly json: string
  readonly tailHex: string
}

const FIXTURES = corpus<Fixture>('binary')
const BYTES_OF: ReadonlyMap<Datatype, number> = new Map([
  ['FP32', 4],
  ['INT64', 8],
  ['UINT8', 1],
  ['FP16', 2],
  ['BOOL', 1],
])
const spec = (name: string, datatype: Datatype): TensorSpec => ({
  name,
  datatype,
  shape: [-1],
  dimensions: [''],
})
const SPECS = [spec('a', 'FP32'), spec('b', 'INT64'), spec('c', 'BYTES'), spec('d', 'UINT8')]
const SINGLES = (['FP32', 'FP16', 'BOOL', 'BYTES'] as const).map((datatype) => [
  spec('a', datatype),
])
const CODECS = [SPECS, ...SINGLES].map((inputs) => {
  const limits = { maxResponseBytes: 1 << 20, maxJsonBytes: 1 << 20, maxJsonDepth: 100 }
  return { inputs, codec: new ProtocolCodec(modelOf(inputs), limits) }
})
const TOKENS = [
  '0',
  '1',
  '-1',
  '4',
  '8',
  '2.5',
  '1e3',
  '9007199254740993',
  '4294967296',
  'null',
  '"4"',
  ',',
  '[',
  ']',
  '"binary_data_size":4',
  '"data":[1]',
  '"shape":[1,1]',
  '"FP32"',
  '"INT64"',
  '"a"',
  '"b"',
]
const LENGTHS = ['', '0', '1', '-1', '99999999999', '1e1', '5, 7', ' 10 ', '0x10', '9'.repeat(20)]
const DIALECT = ['Onnxd-Dialect', 'v2'] as const

/** JSON and bytes of a request that is sound. */
function soundRequest(
  random: RandomNumbers,
  inputs: readonly TensorSpec[],
): { json: string; tail: Buffer } {
  const tails: Buffer[] = []
  const parts = inputs.map(({ name, datatype }) => {
    const count = random.integer(0, 3)
    const bytes = Buffer.concat(
      Array.from({ length: count }, () => {
        const element = Buffer.from(
          Array.from({ length: BYTES_OF.get(datatype) ?? random.integer(0, 5) }, () =>
            random.integer(0, 255),
          ),
        )
        if (datatype !== 'BYTES') return element
        const length = Buffer.alloc(4)
        length.writeUInt32LE(element.length)
        return Buffer.concat([length, element])
      }),
    )
    tails.push(bytes)
    return `{"name":"${name}","datatype":"${datatype}","shape":[${count}],"parameters":{"binary_data_size":${bytes.length}}}`
  })
  return {
    json: `{"parameters":{"binary_data_output":true},"inputs":[${parts.join()}]}`,
    tail: Buffer.concat(tails),
  }
}

/**
 * Decodes a body. Fails unless it is rejected with 4xx, or gives exactly the bytes that the sizes
 * in the JSON describe.
 */
function check(body: Buffer, length: string, index: number): boolean {
  const entry = CODECS[index]
  assert.ok(entry !== undefined)
  const { inputs, codec } = entry
  const headers = readHeaders([DIALECT, ['Inference-Header-Content-Length', length]])
  const parameters = [{ name: 'body', contentType: '', value: body }]
  try {
    const decoded = codec.decode({ id: 'r', headers: [], parameters }, headers)
    checkTensors(decoded.inputs, inputs, body, Number(length))
    return true
  } catch (error) {
    if (error instanceof ServerError && error.statusCode >= 400 && error.statusCode < 500)
      return false
    throw new Error(`${String(error)} for ${length} and ${body.toString('latin1')}`, {
      cause: error,
    })
  }
}

function checkTensors(
  tensors: readonly Tensor[],
  specs: readonly TensorSpec[],
  body: Buffer,
  length: number,
): void {
  const tail = body.subarray(length)
  if (length === 0) {
    const [only] = tensors
    assert.ok(only !== undefined && tensors.length === 1)
    if (only.datatype !== 'BOOL') assert.deepEqual(bytesOf(only, false), tail)
    return
  }
  const plain = body.toString('utf8', 0, length)
  if (/NaN|Infinity/.test(plain)) return
  const { inputs } = JSON.parse(plain) as {
    inputs: { name: string; parameters?: { binary_data_size?: number } }[]
  }
  let at = 0
  for (const { name, parameters } of inputs) {
    const bytes = parameters?.binary_data_size
    if (bytes === undefined) continue
    const index = specs.findIndex((each) => each.name === name)
    const tensor = tensors[index]
    assert.ok(tensor !== undefined)
    assert.equal(
      tensor.data.length,
      tensor.shape.reduce((product, dimension) => product * dimension, 1),
    )
    const slice = tail.subarray(at, at + bytes)
    at += bytes
    // Any byte but 0 stands for true.
    if (tensor.datatype === 'BOOL')
      assert.deepEqual(
        [...tensor.data],
        [...slice].map((byte) => Number(byte !== 0)),
      )
    else if (!bytesOf(tensor, true).equals(slice)) assert.deepEqual(bytesOf(tensor, true), slice)
  }
  assert.equal(at, tail.length)
}

function bytesOf({ datatype, data }: Tensor, hasLengths: boolean): Buffer {
  if (datatype !== 'BYTES') return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return Buffer.concat(
    data.flatMap((element) => {
      const bytes = elementToBytes(element)
      const length = Buffer.alloc(hasLengths ? 4 : 0)
      if (hasLengths) length.writeUInt32LE(bytes.length)
      return [length, bytes]
    }),
  )
}

function run(random: RandomNumbers, count: number): number {
  Error.stackTraceLimit = 0
  const mutator = new Mutator(random, TOKENS)
  const tailMutator = new Mutator(random)
  const index = random.integer(0, CODECS.length - 1)
  const inputs = CODECS[index]?.inputs ?? []
  let accepted = 0
  for (let tried = 0; tried < count; tried++) {
    const { json, tail } = soundRequest(random, inputs)
    const what = random.integer(0, 3)
    const text =
      what === 1 ? mutator.mutate(Buffer.from(json), Buffer.from(json), 2) : Buffer.from(json)
    const bytes = what === 2 ? tailMutator.mutate(tail, tail, 2) : tail
    const shift = what === 3 ? random.integer(-3, 3) : 0
    const length =
      what === 3 && random.next() < 0.3 ? pick(random, LENGTHS) : String(text.length + shift)
    const isAccepted = check(Buffer.concat([text, bytes]), length, index)
    if (what === 0) assert.ok(isAccepted, `${json} ${tail.toString('hex')}`)
    if (isAccepted) accepted++
  }
  assert.ok(accepted > count / 5 && accepted < count, `${accepted} of ${count} were accepted`)
  return count
}

test('the binary requests of the corpus, by every model', () => {
  for (const { what, length, json, tailHex } of FIXTURES) {
    for (const index of CODECS.keys()) {
      const body = Buffer.concat([Buffer.from(json), Buffer.from(tailHex, 'hex')])
      const isAccepted = check(
        body,
        length === 'json' ? String(Buffer.byteLength(json)) : length,
        index,
      )
      if (what.startsWith('sound') && index === 1) assert.ok(isAccepted, what)
    }
  }
  assert.ok(run(randomNumbers(1), 200) === 200)
})

test('no binary request is taken apart but as its lengths say', async (t) => {
  await checkFuzz(t, {
    what: 'fuzz: binary requests',
    goal: '≥ 10⁶, 0 crashes',
    total: size(4000, 1_000_000),
    perRun: size(1000, 10_000),
    run,
  })
})
