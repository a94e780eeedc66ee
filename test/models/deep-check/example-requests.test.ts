import assert from 'node:assert/strict'
import test from 'node:test'
import sharp from 'sharp'
import { exampleSets } from '../../../src/models/deep-check/example-requests.ts'

interface Declared {
  readonly name: string
  readonly datatype: string
  readonly shape: number[]
  readonly anyShape?: boolean
}

function metadata(inputs: readonly Declared[], more: object = {}): unknown {
  const described = inputs.map((input) => ({ ...input, dimensions: input.shape }))
  const runtime = { name: 'onnxruntime-node', version: '1' }
  return { handler: 'onnx', runtime, inputs: described, outputs: [], ...more }
}

/** The inputs in the JSON of a request, and the bytes after it. */
function opened(request: ReturnType<typeof exampleSets>[number]['requests'][number] | undefined): {
  inputs: { name: string; shape: number[]; parameters: { binary_data_size: number } }[]
  rest: Buffer
} {
  assert.ok(request !== undefined)
  const length = Number(new Map(request.headers).get('inference-header-content-length'))
  const [body] = request.parameters
  assert.ok(body !== undefined)
  const { inputs } = JSON.parse(body.value.toString('utf8', 0, length)) as ReturnType<typeof opened>
  return { inputs, rest: body.value.subarray(length) }
}

test('requests have the declared shapes; open ones are tried with several sizes', () => {
  const sets = exampleSets(
    metadata([
      { name: 'ids', datatype: 'INT64', shape: [-1, -1] },
      { name: 'scale', datatype: 'FP32', shape: [-1, 3] },
    ]),
  )
  assert.deepEqual(
    sets.map(({ requests }) => opened(requests[0]).inputs.map(({ shape }) => shape)),
    [8, 1, 64, 224].map((size) => [
      [1, size],
      [1, 3],
    ]),
  )
  const { inputs, rest } = opened(sets[0]?.requests[0])
  assert.deepEqual(
    inputs.map(({ parameters }) => parameters.binary_data_size),
    [64, 12],
  )
  assert.equal(rest.length, 76)
  for (let at = 0; at < 64; at += 8) assert.ok([0n, 1n].includes(rest.readBigInt64LE(at)))
  const [first, second] = sets[0]?.requests ?? []
  assert.notDeepEqual(opened(first).rest, opened(second).rest, 'requests differ')
  const again = exampleSets(metadata([{ name: 'x', datatype: 'FP32', shape: [4] }]))
  const same = exampleSets(metadata([{ name: 'x', datatype: 'FP32', shape: [4] }]))
  assert.deepEqual(opened(again[0]?.requests[0]), opened(same[0]?.requests[0]), 'runs do not')
})

test('every datatype has elements of its size', () => {
  const bytes = { BOOL: 1, INT8: 1, UINT8: 1, INT16: 2, UINT16: 2, FP16: 2, INT32: 4, UINT32: 4 }
  const all = { ...bytes, FP32: 4, INT64: 8, UINT64: 8, FP64: 8, BYTES: 5 }
  for (const [datatype, size] of Object.entries(all)) {
    const [set] = exampleSets(metadata([{ name: 'x', datatype, shape: [-1, 3] }]))
    assert.equal(opened(set?.requests[0]).rest.length, 3 * size, datatype)
  }
})

test('texts and images get requests of their own, and unknown inputs none', async () => {
  const text = {
    task: 'text-classification',
    maxTokens: 8,
    labels: ['a'],
    isZeroShot: false,
    truncates: true,
    maxTexts: 1,
    maxBatchTokens: 8,
  }
  const [texts] = exampleSets(metadata([], { text }))
  const bodies = (texts?.requests ?? []).map(({ parameters: [body] }) => String(body?.value))
  assert.equal(new Set(bodies).size, 4)
  for (const body of bodies) assert.match(body, /^\{"inputs":".*food was very good\."\}$/)
  const [images] = exampleSets(metadata([], { handler: 'image' }))
  assert.equal(images?.requests.length, 4)
  const [image] = images?.requests[0]?.parameters ?? []
  const { format, width, height, channels } = await sharp(image?.value).metadata()
  assert.deepEqual([format, width, height, channels], ['png', 320, 240, 3])
  const { channels: colors } = await sharp(image?.value).stats()
  for (const { min, max } of colors) assert.ok(max - min > 100)
  for (const unknown of [
    undefined,
    { words: 1 },
    metadata([{ name: 'x', datatype: 'FP32', shape: [], anyShape: true }]),
    metadata([{ name: 'x', datatype: 'BF16', shape: [1] }]),
    metadata([{ name: 'x', datatype: 'FP32', shape: [1, 100_000, 100_000] }]),
  ])
    assert.deepEqual(exampleSets(unknown), [])
})
