/** Which shapes inputs take, whatever the dialect and the form of a request. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Datatype } from '../../../../../src/contract/datatypes.ts'
import { DIALECT_HEADER } from '../../../../../src/contract/internal-headers.ts'
import type { LoadedModel } from '../../../../../src/worker/process/handler.ts'
import { placeOnes } from '../../../../../src/worker/process/onnx/tensors/shape-ones.ts'
import type { WireHeader } from '../../../../../src/worker/wire/messages.ts'
import { answerOf, inferRequest, outputsOf } from '../../../../helpers/infer.ts'
import type { InferRequest } from '../../../../helpers/infer.ts'
import { identityGraph, writeModelFolder } from '../../../../helpers/onnx-builder.ts'
import type { Dimension, ModelSource } from '../../../../helpers/onnx-builder.ts'
import {
  ask,
  bodyRequest,
  loadModel,
  parameter,
  predict,
  problem,
} from '../../../../helpers/onnx-model.ts'
import type { TestRequest } from '../../../../helpers/onnx-model.ts'
import { randomNumbers } from '../../../../helpers/random.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'

const V2: WireHeader = [DIALECT_HEADER, 'v2']
const V1: WireHeader = [DIALECT_HEADER, 'v1']
const OCTETS = 'application/octet-stream'

async function load(t: TestContext, graph: ModelSource, options = {}): Promise<LoadedModel> {
  return loadModel(t, writeModelFolder(temporaryFolder(t), 'm', graph), { options })
}

function identity(t: TestContext, type: Datatype, shape?: readonly Dimension[]) {
  return load(t, identityGraph(shape === undefined ? { type } : { type, shape }))
}

/** A request of the protocol as `/v2` hands it over. */
function v2({ headers, body }: InferRequest): TestRequest {
  return { headers: [V2, ...headers], parameters: [parameter('body', body)] }
}

function v2Json(datatype: string, shape: readonly number[], data: unknown): TestRequest {
  return v2(inferRequest({ inputs: [{ name: 'x', datatype, shape, data }] }))
}

function v2Binary(datatype: string, shape: readonly number[], bytes: Buffer): TestRequest {
  const parameters = { binary_data_size: bytes.length }
  return v2(inferRequest({ inputs: [{ name: 'x', datatype, shape, parameters }] }, bytes))
}

function floats(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => index + 1)
}

function bytesOf(array: Float32Array): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength)
}

function nest(values: ArrayLike<unknown>, shape: readonly number[], from = 0): unknown {
  const [length, ...rest] = shape
  if (length === undefined) return values[from]
  const step = rest.reduce((product, size) => product * size, 1)
  return Array.from({ length }, (_, index) => nest(values, rest, from + index * step))
}

/** Shape and elements of the only output of a `/v2` answer; the status for an error. */
async function shapeOf(
  model: LoadedModel,
  request: TestRequest,
): Promise<readonly number[] | string> {
  const answer = answerOf(await predict(model, request))
  if (answer.status !== 200) return String(answer.status)
  const [output] = outputsOf(answer)
  return output?.shape ?? 'none'
}

test('C7: an input without a shape takes any shape, in every form', async (t) => {
  const model = await identity(t, 'FP32')
  const shapes = [[], [3], [2, 2], [1, 3, 2], [0], [1, 1, 1, 1, 1, 1, 2]]
  for (const shape of shapes) {
    const data = floats(shape.reduce((product, size) => product * size, 1))
    const nested = nest(data, shape)
    assert.deepEqual(await ask(model, bodyRequest({ x: nested })), [200, { y: nested }])
    assert.deepEqual(await ask(model, bodyRequest(JSON.stringify(nested))), [200, { y: nested }])
    const field = { parameters: [parameter('x', JSON.stringify(nested))] }
    assert.deepEqual(await ask(model, field), [200, { y: nested }])
    assert.deepEqual(await shapeOf(model, v2Json('FP32', shape, [...data])), shape)
    assert.deepEqual(await shapeOf(model, v2Binary('FP32', shape, bytesOf(data))), shape)
    const header: WireHeader = ['Tensor-Shape', shape.join(',')]
    const raw = bodyRequest(bytesOf(data), OCTETS, [header])
    if (shape.length > 0) assert.deepEqual(await ask(model, raw), [200, { y: nested }])
  }
  const instances = [
    [1, 2],
    [3, 4],
  ]
  assert.deepEqual(await ask(model, bodyRequest({ instances }, '', [V1])), [
    200,
    { predictions: { y: instances } },
  ])
  assert.match(
    await problem(model, bodyRequest(bytesOf(floats(2)), OCTETS)),
    /the model does not declare the shape; send it in the header Tensor-Shape/,
  )
  const described = await ask(model, { headers: [['describe', 'True']], parameters: [] })
  const [{ inputs }] = [described[1] as { inputs: unknown[] }]
  assert.deepEqual(inputs, [
    { name: 'x', datatype: 'FP32', shape: [], dimensions: [], anyShape: true },
  ])
})

test('C7: text for an input without a shape is one string', async (t) => {
  const model = await identity(t, 'BYTES')
  assert.deepEqual(await ask(model, { parameters: [parameter('x', 'a')] }), [200, { y: ['a'] }])
  const raw = v2({ ...inferRequest('', Buffer.from('a b')), headers: [] })
  const request = { ...raw, headers: [V2, ['Inference-Header-Content-Length', '0'] as const] }
  const answer = answerOf(await predict(model, request))
  assert.deepEqual(outputsOf(answer)[0]?.shape, [1])
})

test('C7: a scalar is no input without a shape', async (t) => {
  const model = await identity(t, 'FP32', [])
  assert.deepEqual(await ask(model, bodyRequest('3')), [200, { y: 3 }])
  assert.match(
    await problem(model, bodyRequest('[3, 4]')),
    /^400 .*expected FP32 \[\], got shape \[2\]/,
  )
  assert.equal(await shapeOf(model, v2Json('FP32', [2], [3, 4])), '400')
})

test('C8: dimensions of 1 may be more or fewer than the model has, in every form', async (t) => {
  const cases: [model: Dimension[], given: number[], taken: number[] | undefined][] = [
    [[], [1], []],
    [[], [1, 1], []],
    [['n'], [3, 1], [3]],
    [['n'], [1, 3], [3]],
    [['n'], [1, 1], [1]],
    [['n'], [0, 1], [0]],
    [['n', 1], [3], [3, 1]],
    [
      ['n', 4],
      [2, 4, 1],
      [2, 4],
    ],
    [
      ['n', 1, 2, 2],
      [3, 2, 2],
      [3, 1, 2, 2],
    ],
    [['n'], [2, 3], undefined],
    [[4], [2, 2], undefined],
    [['n', 'm'], [1, 3, 1], undefined],
  ]
  for (const [own, given, taken] of cases) {
    const model = await identity(t, 'FP32', own)
    const data = floats(given.reduce((product, size) => product * size, 1))
    const binary = v2Binary('FP32', given, bytesOf(data))
    const raw = bodyRequest(bytesOf(data), OCTETS, [['Tensor-Shape', given.join(',')]])
    const plain = bodyRequest({ x: nest(data, given) })
    const name = `${own.join()} <- ${given.join()}`
    assert.deepEqual(await shapeOf(model, v2Json('FP32', given, [...data])), taken ?? '400', name)
    assert.deepEqual(await shapeOf(model, binary), taken ?? '400', name)
    if (taken === undefined) {
      for (const request of [raw, plain]) assert.match(await problem(model, request), /^400/, name)
    } else {
      const answer = [200, { y: nest(data, taken) }]
      assert.deepEqual(await ask(model, raw), answer, name)
      assert.deepEqual(await ask(model, plain), answer, name)
    }
  }
})

test('C8: a column of strings feeds a list of strings', async (t) => {
  const model = await identity(t, 'BYTES', ['n'])
  const column = [['a'], ['b']]
  const answer = [200, { y: ['a', 'b'] }]
  assert.deepEqual(await ask(model, bodyRequest({ x: column })), answer)
  assert.deepEqual(await ask(model, bodyRequest(column)), answer)
  const part = parameter('x', JSON.stringify(column), 'application/json')
  assert.deepEqual(await ask(model, { parameters: [part] }), answer)
  assert.deepEqual(await shapeOf(model, v2Json('BYTES', [2, 1], column)), [2])
  assert.deepEqual(await ask(model, bodyRequest({ instances: column }, '', [V1])), [
    200,
    { predictions: ['a', 'b'] },
  ])
})

test('C8: a missing batch dimension is still a mistake on /v2', async (t) => {
  const model = await identity(t, 'FP32', ['n', 4])
  assert.equal(await shapeOf(model, v2Json('FP32', [4], [1, 2, 3, 4])), '400')
  assert.equal(await shapeOf(model, v2Binary('FP32', [8], bytesOf(floats(8)))), '400')
})

test('C8: v2 in JSON, v2 in binary, raw bytes and nested JSON agree on every shape', async (t) => {
  const seed = Number(process.env['SEED'] ?? 20_261_128)
  t.diagnostic(`SEED=${seed}`)
  const random = randomNumbers(seed)
  const sizes = ['n', 'm', 1, 1, 2, 3] as const
  for (let round = 0; round < 60; round++) {
    const own = Array.from(
      { length: random.integer(0, 4) },
      () => sizes[random.integer(0, sizes.length - 1)] ?? 1,
    )
    const model = await identity(t, 'FP32', own)
    for (let turn = 0; turn < 12; turn++) {
      const given = Array.from({ length: random.integer(0, 5) }, () => random.integer(0, 3))
      const data = floats(given.reduce((product, size) => product * size, 1))
      const name = `[${own.join()}] <- [${given.join()}]`
      const inJson = await shapeOf(model, v2Json('FP32', given, [...data]))
      assert.deepEqual(await shapeOf(model, v2Binary('FP32', given, bytesOf(data))), inJson, name)
      const raw = bodyRequest(bytesOf(data), OCTETS, [['Tensor-Shape', given.join(',')]])
      const [rawStatus] = await ask(model, raw)
      assert.equal(rawStatus, typeof inJson === 'string' ? 400 : 200, name)
      // JSON cannot say what stands behind a dimension of 0, and may leave out more.
      if (typeof inJson === 'string' || given.includes(0)) continue
      const nested = await ask(model, bodyRequest({ x: nest(data, given) }))
      assert.deepEqual(nested, [200, { y: nest(data, inJson) }], name)
    }
  }
})

test('C8: the way to place dimensions of 1 is found at once, and only when there is one', () => {
  assert.deepEqual(placeOnes([-1, 1, -1], [2, 3]), [2, 1, 3])
  assert.equal(placeOnes([-1, -1], [1, 3, 1]), undefined)
  const open = Array.from({ length: 64 }, () => -1)
  const startedAt = performance.now()
  assert.deepEqual(
    placeOnes(
      open,
      open.map(() => 2),
    ),
    open.map(() => 2),
  )
  placeOnes(
    open.map((_, axis) => (axis % 2 ? 1 : -1)),
    open.map((_, axis) => (axis % 3 ? 1 : 2)),
  )
  assert.equal(
    placeOnes(
      [1],
      Array.from({ length: 100_000 }, () => 1),
    ),
    undefined,
  )
  assert.ok(performance.now() - startedAt < 1000)
})

test('C8: reshape of config.pbtxt stands between clients and the model', async (t) => {
  const reshapes = {
    inputs: [{ name: 'x', dims: [4], shape: [1, 2, 2] }],
    outputs: [{ name: 'y', dims: [4, 1], shape: [1, 2, 2] }],
  }
  const graph = identityGraph({ type: 'FP32', shape: ['n', 1, 2, 2] })
  const model = await load(t, graph, { reshapes, maxBatchSize: 4 })
  const rows = nest(floats(8), [2, 4])
  assert.deepEqual(await ask(model, bodyRequest({ x: rows })), [
    200,
    { y: nest(floats(8), [2, 4, 1]) },
  ])
  assert.deepEqual(await shapeOf(model, v2Json('FP32', [2, 4], rows)), [2, 4, 1])
  assert.deepEqual(await shapeOf(model, v2Binary('FP32', [2, 4], bytesOf(floats(8)))), [2, 4, 1])
  assert.equal(await shapeOf(model, v2Json('FP32', [2, 1, 2, 2], rows)), '400')
  const [, described] = await ask(model, { headers: [['describe', 'True']], parameters: [] })
  const { inputs, outputs } = described as {
    inputs: { shape: unknown }[]
    outputs: { shape: unknown }[]
  }
  assert.deepEqual(
    [inputs[0]?.shape, outputs[0]?.shape],
    [
      [-1, 4],
      [-1, 4, 1],
    ],
  )
})

test('C8: a scalar for each row, as Triton writes it, and open dimensions in order', async (t) => {
  const scalars = {
    inputs: [{ name: 'x', dims: [1], shape: [] }],
    outputs: [{ name: 'y', dims: [1], shape: [] }],
  }
  const rows = await load(t, identityGraph({ type: 'INT64', shape: ['n'] }), { reshapes: scalars })
  assert.deepEqual(await shapeOf(rows, v2Json('INT64', [3, 1], [1, 2, 3])), [3, 1])
  const open = {
    inputs: [{ name: 'x', dims: [-1, 2, -1], shape: [-1, -1, 2] }],
    outputs: [],
  }
  const graph = identityGraph({ type: 'INT64', shape: ['a', 'b', 2] })
  const model = await load(t, graph, { reshapes: open })
  assert.deepEqual(
    await shapeOf(
      model,
      v2Json('INT64', [3, 2, 5], floats(30).map(Math.round).join().split(',').map(Number)),
    ),
    [3, 5, 2],
  )
})

test('C8: a reshape that does not go with the model refuses it', async (t) => {
  const graph = identityGraph({ type: 'FP32', shape: ['n', 4] })
  const refused: [object, RegExp][] = [
    [{ name: 'z', dims: [4], shape: [4] }, /reshapes input "z", which the model does not have/],
    [
      { name: 'x', dims: [4], shape: [5] },
      /from \[4\] to \[5\]: both shapes must have the same number of elements/,
    ],
    [{ name: 'x', dims: [6], shape: [6] }, /from \[6\] to \[6\]: the model has FP32 \[-1,4\]/],
    [{ name: 'x', dims: [-1], shape: [4] }, /the same number of elements and of open dimensions/],
  ]
  for (const [reshape, pattern] of refused) {
    const reshapes = { inputs: [reshape], outputs: [] }
    await assert.rejects(load(t, graph, { reshapes }), pattern)
  }
})

test('C13: one symbol with two sizes is left to onnxruntime; the batch is compared', async (t) => {
  const concat: ModelSource = {
    inputs: [
      { name: 'q', type: 'FP32', shape: ['batch', 'sequence'] },
      { name: 'k', type: 'FP32', shape: ['batch', 'sequence'] },
    ],
    outputs: [{ name: 'y', type: 'FP32', shape: ['batch', 'total'] }],
    nodes: [{ operator: 'Concat', inputs: ['q', 'k'], outputs: ['y'], attributes: { axis: 1 } }],
  }
  const model = await load(t, concat)
  const answer = [200, { y: [[1, 2, 3, 4, 5]] }]
  assert.deepEqual(await ask(model, bodyRequest({ q: [[1, 2]], k: [[3, 4, 5]] })), answer)
  const inputs = [
    { name: 'q', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
    { name: 'k', datatype: 'FP32', shape: [1, 3], data: [3, 4, 5] },
  ]
  assert.deepEqual(await shapeOf(model, v2(inferRequest({ inputs }))), [1, 5])
  const instances = [{ q: [1, 2], k: [3, 4, 5] }]
  assert.deepEqual(await ask(model, bodyRequest({ instances }, '', [V1])), [
    200,
    { predictions: [[1, 2, 3, 4, 5]] },
  ])
  assert.match(
    await problem(model, bodyRequest({ q: [[1], [2]], k: [[3]] })),
    /^400 .*Inputs "q" and "k" differ in dimension "batch": 2 and 1/,
  )
})
