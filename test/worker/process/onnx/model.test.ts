/**
 * The built-in ONNX handler with real models in the process of the test: requests in, predictions
 * out.
 */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { env } from 'onnxruntime-node'
import { DATATYPES } from '../../../../src/contract/datatypes.ts'
import { ServerError } from '../../../../src/errors.ts'
import type { LoadedModel } from '../../../../src/worker/process/handler.ts'
import { Batcher } from '../../../../src/worker/process/onnx/batching/batcher.ts'
import type { Runner } from '../../../../src/worker/process/onnx/batching/batcher.ts'
import type { Run } from '../../../../src/worker/process/onnx/codec.ts'
import { cleanMessage } from '../../../../src/worker/process/onnx/runtime/runtime-errors.ts'
import {
  allocateData,
  bytesOfData,
  elementBytes,
} from '../../../../src/worker/process/onnx/tensors/tensor.ts'
import type { Datatype, Tensor } from '../../../../src/worker/process/onnx/tensors/tensor.ts'
import { brokenModels, riskyModel, riskyModels } from '../../../helpers/failing-models.ts'
import type { ModelExample, TensorExample } from '../../../helpers/model-examples.ts'
import {
  ask,
  bodyRequest,
  loadModel,
  modelPath,
  parameter,
  predict,
  predictAll,
  problem,
} from '../../../helpers/onnx-model.ts'
import type { TestRequest } from '../../../helpers/onnx-model.ts'
import { ownExamples } from '../../../helpers/own-models.ts'
import { randomNumbers } from '../../../helpers/random.ts'
import type { RandomNumbers } from '../../../helpers/random.ts'
import { assertSame } from '../../../helpers/same.ts'
import { temporaryFolder } from '../../../helpers/server.ts'
import { sharedPath, testShared } from '../../../helpers/shared.ts'

const OCTETS = 'application/octet-stream'
const ACCEPT_OCTETS = ['Accept', OCTETS] as const

/** Examples of the models in ../shared that onnxruntime loads, each with the path of its model. */
function sharedExamples(): [string, ModelExample][] {
  const text = readFileSync(sharedPath('models', 'models.json'), 'utf8')
  const { models }: { models: Record<string, { file: string; example?: ModelExample }> } =
    JSON.parse(text)
  return Object.values(models).flatMap(({ file, example }): [string, ModelExample][] =>
    example === undefined ? [] : [[sharedPath('models', file), example]],
  )
}

/** Elements as a client writes them, and as they stand in an answer. FP16 examples are raw bits. */
function elements({ datatype, data }: TensorExample): unknown[] {
  const halves = new Map([
    [15_360, 1],
    [49_408, -2.5],
    [31_743, 65_504],
    [1, 5.9604645e-8],
  ])
  return data.map((value) => {
    if (datatype === 'BOOL') return value === 1
    if (datatype === 'FP16') return halves.get(Number(value))
    return datatype !== 'BYTES' && typeof value === 'string' ? null : value
  })
}

function rawBytes({ datatype, data }: TensorExample): Buffer {
  const type = DATATYPES.find((known) => known === datatype)
  assert.ok(type !== undefined && type !== 'BYTES')
  const room = allocateData(type, data.length)
  for (const [index, value] of data.entries()) {
    if (room instanceof BigInt64Array || room instanceof BigUint64Array) {
      room[index] = BigInt(value)
    } else {
      room[index] = Number(value)
    }
  }
  return bytesOfData(room)
}

function nest(values: readonly unknown[], shape: readonly number[]): unknown {
  const [rows, ...rest] = shape
  if (rows === undefined) return values[0]
  const size = rows === 0 ? 0 : values.length / rows
  return Array.from({ length: rows }, (_, row) =>
    nest(values.slice(row * size, (row + 1) * size), rest),
  )
}

function nested(examples: Readonly<Record<string, TensorExample>>): Record<string, unknown> {
  const entries = Object.entries(examples)
  return Object.fromEntries(entries.map(([name, one]) => [name, nest(elements(one), one.shape)]))
}

function protocolTensors(examples: Readonly<Record<string, TensorExample>>): unknown[] {
  return Object.entries(examples).map(([name, one]) => ({
    name,
    datatype: one.datatype,
    shape: one.shape,
    data: elements(one),
  }))
}

async function assertEveryForm(
  t: TestContext,
  file: string,
  { inputs: fed, outputs }: ModelExample,
): Promise<void> {
  const model = await loadModel(t, file)
  const answer = [200, nested(outputs)]
  assertSame(await ask(model, bodyRequest(nested(fed))), answer)
  const id = `id of ${path.basename(file)}`
  const protocol = { id, inputs: protocolTensors(fed) }
  const version = path.basename(path.dirname(file))
  assert.deepEqual(await ask(model, bodyRequest(protocol)), [
    200,
    { id, model_name: 'tested', model_version: version, outputs: protocolTensors(outputs) },
  ])
  const parts = Object.entries(nested(fed)).map(([input, value]) =>
    parameter(input, JSON.stringify(value), 'application/json'),
  )
  assertSame(await ask(model, { parameters: parts }), answer)
  const [[, input] = [], ...others] = Object.entries(fed)
  if (input === undefined || others.length > 0) return
  const bare = nest(elements(input), input.shape)
  assertSame(await ask(model, bodyRequest(JSON.stringify(bare))), answer)
  if (input.datatype === 'BYTES') return
  const bytes = rawBytes(input)
  const shape = ['Tensor-Shape', input.shape.join(',')] as const
  assertSame(await ask(model, bodyRequest(bytes, OCTETS, [shape])), answer)
  const [[outputName, output] = []] = Object.entries(outputs)
  assert.ok(output?.littleEndianHex !== undefined && outputName !== undefined)
  const raw = await predict(model, bodyRequest(bytes, OCTETS, [shape, ACCEPT_OCTETS]))
  assert.deepEqual(
    [raw.status, raw.contentType, raw.body.toString('hex'), raw.headers],
    [
      200,
      OCTETS,
      output.littleEndianHex,
      [
        ['Tensor-Name', outputName],
        ['Tensor-Datatype', output.datatype],
        ['Tensor-Shape', output.shape.join(',')],
      ],
    ],
  )
}

test('every example goes through every form that its model takes', async (t) => {
  for (const [name, example] of ownExamples()) {
    await t.test(name, (sub) => assertEveryForm(sub, modelPath(name, '1', 'model.onnx'), example))
  }
})

testShared('so does every example of ../shared', {}, async (t) => {
  for (const [file, example] of sharedExamples()) {
    await t.test(path.relative(sharedPath(), file), (sub) => assertEveryForm(sub, file, example))
  }
})

test('64-bit integers, NUL bytes and all of Unicode come back exactly', async (t) => {
  const exact: [string, string, string][] = [
    ['identity_int64', 'INT64', '[9007199254740993,9223372036854775807,-9223372036854775808]'],
    ['identity_uint64', 'UINT64', '[18446744073709551615,9007199254740993,0]'],
    ['identity_fp64', 'FP64', '[0.1,-0,1.7976931348623157e+308,5e-324]'],
    ['identity_fp32', 'FP32', '[0.1,-0,3.4028235e+38,1.401298e-45,16777216]'],
    ['identity_fp16', 'FP16', '[0.33325195,-0,65504,5.9604645e-8]'],
    [
      'simple_identity',
      'BYTES',
      String.raw`["he\u0000llo","\u0000\u0001\u0002\u0003","naïve 世界 😀",""]`,
    ],
  ]
  for (const [name, datatype, row] of exact) {
    const model = await loadModel(t, modelPath(name, '1'))
    const keyed = await predict(model, bodyRequest(`{"INPUT0":[${row}]}`))
    assert.deepEqual(
      [keyed.status, keyed.contentType, keyed.body.toString()],
      [200, 'application/json', `{"OUTPUT0":[${row}]}\n`],
    )
    const shape = `[1,${JSON.parse(row).length}]`
    // The data before all that tells how to read it.
    const body = `{"inputs":[{"data":${row},"shape":${shape},"datatype":"${datatype}","name":"INPUT0"}]}`
    const protocol = await predict(model, bodyRequest(body))
    assert.equal(
      protocol.body.toString(),
      `{"model_name":"tested","model_version":"1","outputs":[{"name":"OUTPUT0","datatype":"${datatype}","shape":${shape},"data":${row}}]}`,
    )
  }
  const nan = await loadModel(t, modelPath('identity_fp32', '1'))
  assert.deepEqual(await ask(nan, bodyRequest('[[NaN,Infinity,-Infinity,1]]')), [
    200,
    { OUTPUT0: [[null, null, null, 1]] },
  ])
})

test('shapes that go without saying are filled in, others are refused', async (t) => {
  const mlp = await loadModel(t, modelPath('mlp.onnx'))
  const sample = Array<number>(784).fill(0.5)
  const [, one] = await ask(mlp, bodyRequest({ x: [sample] }))
  assert.deepEqual(await ask(mlp, bodyRequest({ x: sample })), [200, one])
  assert.deepEqual(await ask(mlp, bodyRequest(sample)), [200, one])
  const [, two] = await ask(mlp, bodyRequest([sample, sample]))
  assert.deepEqual(await ask(mlp, bodyRequest([...sample, ...sample])), [200, two])
  assert.deepEqual(await ask(mlp, bodyRequest([])), [200, { y: [] }])
  assert.deepEqual(await ask(mlp, bodyRequest('', OCTETS)), [200, { y: [] }])

  const mnist = await loadModel(t, modelPath('mnist.onnx'))
  const image = nest(sample, [28, 28])
  const [, digits] = await ask(mnist, bodyRequest([[image]]))
  assert.deepEqual(await ask(mnist, bodyRequest([image])), [200, digits])
  assert.deepEqual(await ask(mnist, bodyRequest(sample)), [200, digits])

  const scalar = await loadModel(t, modelPath('scalar_fp32', '1'))
  for (const body of ['2.5', '[2.5]', '{"INPUT0":2.5}']) {
    assert.deepEqual(await ask(scalar, bodyRequest(body)), [200, { OUTPUT0: 2.5 }])
  }
  const identity = await loadModel(t, modelPath('identity_fp32', '1'))
  const empty = { inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [0, 4], data: [] }] }
  const [, answer] = await ask(identity, bodyRequest(empty))
  assert.deepEqual(answer, {
    model_name: 'tested',
    model_version: '1',
    outputs: [{ name: 'OUTPUT0', datatype: 'FP32', shape: [0, 4], data: [] }],
  })
  assert.deepEqual(await ask(identity, bodyRequest('[[],[]]')), [200, { OUTPUT0: [[], []] }])

  const refused: [LoadedModel, TestRequest, string][] = [
    [
      mlp,
      bodyRequest({ x: [[1, 2]] }),
      'Input "x": expected FP32 [-1,784] (N,784), got shape [1,2].',
    ],
    [mlp, bodyRequest([1, 2, 3]), 'Input "x": expected FP32 [-1,784] (N,784), got shape [3].'],
    [mnist, bodyRequest([sample]), 'Input "Input3": expected FP32 [1,1,28,28], got shape [1,784].'],
    [
      mlp,
      bodyRequest(Buffer.alloc(3135), OCTETS),
      'Input "x": expected FP32 [-1,784] (N,784), a multiple of 3136 bytes, got 3135 bytes.',
    ],
    [
      mnist,
      bodyRequest(Buffer.alloc(3140), OCTETS),
      'Input "Input3": expected FP32 [1,1,28,28], 3136 bytes, got 3140 bytes.',
    ],
    [
      identity,
      bodyRequest(Buffer.alloc(16), OCTETS),
      'Input "INPUT0": FP32 [-1,-1] (d0,d1) has 2 open dimensions; send the shape in the header Tensor-Shape, for example "1,1".',
    ],
    [
      identity,
      bodyRequest(Buffer.alloc(16), OCTETS, [['tensor-shape', '1,3']]),
      'Input "INPUT0": FP32 of shape [1,3] has 12 bytes, got 16.',
    ],
    [
      identity,
      bodyRequest(Buffer.alloc(16), OCTETS, [['tensor-shape', '1,x']]),
      'Header Tensor-Shape must be dimensions such as 1,3,224,224, got "1,x".',
    ],
  ]
  for (const [model, request, message] of refused) {
    assert.equal(await problem(model, request), `400 InvalidInputException ${message}`)
  }
})

test('missing, unknown and repeated inputs are named, with what the model expects', async (t) => {
  const simple = await loadModel(t, modelPath('simple', '1'))
  const row = nest(Array<number>(16).fill(1), [1, 16])
  const tensor = (name: string, more = {}) => ({
    name,
    datatype: 'INT32',
    shape: [1, 16],
    data: row,
    ...more,
  })
  const protocol = (...inputs: unknown[]): TestRequest => bodyRequest({ inputs })
  const both = [tensor('INPUT0'), tensor('INPUT1')]
  const expected = 'the model expects 2 inputs: "INPUT0" INT32 [-1,16], "INPUT1" INT32 [-1,16].'
  const refused: [TestRequest, string][] = [
    [bodyRequest({ INPUT0: row }), `Missing input "INPUT1"; ${expected}`],
    [bodyRequest({}), `Missing inputs "INPUT0", "INPUT1"; ${expected}`],
    [bodyRequest({ INPUT0: row, INPUT1: row, x: 1 }), `Unknown input "x"; ${expected}`],
    [bodyRequest({ __proto__x: 1 }), `Unknown input "__proto__x"; ${expected}`],
    [bodyRequest('{"__proto__":{"a":1}}'), `Unknown input "__proto__"; ${expected}`],
    [bodyRequest('{"\\u005f_proto__":1}'), `Unknown input "__proto__"; ${expected}`],
    [
      bodyRequest('{"INPUT0":[1],"INPUT0":[2]}'),
      'Input "INPUT0": expected INT32 [-1,16], got shape [1].',
    ],
    [bodyRequest(`{"INPUT0":${JSON.stringify(row)},"INPUT0":[2]}`), 'Input "INPUT0" occurs twice.'],
    [
      bodyRequest([row]),
      `A bare JSON value is only possible for a model with one input; ${expected}`,
    ],
    [
      bodyRequest(Buffer.alloc(128), OCTETS),
      `A body of raw bytes is only possible for a model with one input; ${expected}`,
    ],
    [bodyRequest('', ''), `The request has no body; ${expected}`],
    [protocol(), `Missing inputs "INPUT0", "INPUT1"; ${expected}`],
    [protocol(tensor('INPUT0')), `Missing input "INPUT1"; ${expected}`],
    [protocol(...both, tensor('INPUT0')), 'Input "INPUT0" occurs twice.'],
    [protocol(tensor('x')), `Unknown input "x"; ${expected}`],
    [
      protocol(tensor('INPUT0', { datatype: 'FP32' })),
      'Input "INPUT0": expected INT32 [-1,16], got datatype "FP32".',
    ],
    [
      protocol(tensor('INPUT0', { datatype: 'NOPE' })),
      'Input "INPUT0": expected INT32 [-1,16], got datatype "NOPE".',
    ],
    [
      protocol(tensor('INPUT0', { data: null })),
      'Input "INPUT0": it has neither "data" nor "binary_data_size".',
    ],
    [
      protocol(tensor('INPUT0', { data: [1, 2] })),
      'Input "INPUT0": shape [1,16] requires 16 elements, got 2.',
    ],
    [
      protocol(tensor('INPUT0', { shape: [16] })),
      'Input "INPUT0": expected INT32 [-1,16], got shape [16].',
    ],
    [protocol({ ...tensor('INPUT0'), shape: undefined }), 'Input "INPUT0" has no "shape".'],
    [protocol({ ...tensor('INPUT0'), name: undefined }), 'An input has no "name".'],
    [protocol({ ...tensor('INPUT0'), name: 5 }), 'The name of an input must be a string, got 5.'],
    [
      bodyRequest({ inputs: both, outputs: [{ name: 'x' }] }),
      'Unknown output "x"; the model has "OUTPUT0" INT32 [-1,16], "OUTPUT1" INT32 [-1,16].',
    ],
    [
      bodyRequest({ inputs: both, outputs: [{ name: 'OUTPUT0' }, { name: 'OUTPUT0' }] }),
      'Output "OUTPUT0" is requested twice.',
    ],
    [bodyRequest({ inputs: both, outputs: [{}] }), 'An output has no "name".'],
    [bodyRequest({ inputs: both, id: 5 }), '"id" must be a string, got 5.'],
  ]
  for (const [request, message] of refused) {
    assert.equal(await problem(simple, request), `400 InvalidInputException ${message}`)
  }
  const long = await problem(simple, bodyRequest({ [`\n{"level":30}${'x'.repeat(2 ** 20)}`]: 1 }))
  assert.ok(long.length < 400 && !long.includes('\n{'), long)
  const vars = await loadModel(t, modelPath('onnx_int32_int8_int8', '1'))
  const differs = {
    INPUT0: nest(Array(16).fill(1), [1, 16]),
    INPUT1: nest(Array(32).fill(1), [2, 16]),
  }
  assert.match(await problem(vars, bodyRequest(differs)), /differ in dimension "var_0": 1 and 2\.$/)

  const wanted = {
    inputs: both,
    outputs: [{ name: 'OUTPUT1', parameters: { binary_data: false } }],
  }
  const [status, answer] = await ask(
    simple,
    bodyRequest({
      ...wanted,
      id: '',
      parameters: { priority: 1, nested: { a: [] } },
      model_name: 'x',
    }),
  )
  const zeros = Array<number>(16).fill(0)
  const outputs = [{ name: 'OUTPUT1', datatype: 'INT32', shape: [1, 16], data: zeros }]
  assert.deepEqual([status, answer], [200, { model_name: 'tested', model_version: '1', outputs }])
})

test('hostile shapes are refused before anything is allocated', async (t) => {
  const model = await loadModel(t, modelPath('identity_fp32', '1'))
  const shapes = [
    [2 ** 4, '1152921504606846978'],
    ['4', '1152921504606846978'],
    ['4611686018427387904', '4611686018427387904'],
    [65_536, 65_536],
    [9_007_199_254_740_991, 9_007_199_254_740_991],
    [-1],
    [2, -5],
    [1.5],
    ['"4"'],
    ['null'],
    [],
    ['[1]', 1],
    Array<number>(100).fill(1),
    Array<number>(2000).fill(1),
    [4, 0],
    [0, 4],
    [1, 2],
    [1, 0],
  ]
  for (const shape of shapes) {
    const body = `{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[${shape.join()}],"data":[1]}]}`
    assert.match(
      await problem(model, bodyRequest(body)),
      /^400 InvalidInputException .*shape/,
      body,
    )
  }
  const huge = await loadModel(t, riskyModel(temporaryFolder(t), 'huge_dim_input'))
  assert.match(await problem(huge, bodyRequest('{"x":[[1]]}')), /^400 .*got shape \[1,1\]/)
  assert.match(await problem(huge, bodyRequest(Buffer.alloc(8), OCTETS)), /^400 /)
})

test('bodies that are not what they claim get 4xx', async (t) => {
  const options = { maxJsonBytes: 2000, maxJsonDepth: 100 }
  const model = await loadModel(t, modelPath('scores4', '1'), { options })
  const json = '[1,2,3,4]'
  for (const type of [
    '',
    'text/plain',
    'application/json\ta',
    ' application/json',
    'Application/JSON;',
    'application/json, text/plain',
    'application/vnd.api+json',
    'application/x-unknown',
  ]) {
    assert.equal((await predict(model, bodyRequest(json, type))).status, 200, type)
    assert.equal((await predict(model, bodyRequest('[1,2,3,', type))).status === 200, false, type)
  }
  const refused: [TestRequest, RegExp][] = [
    [
      bodyRequest('<html>', 'text/html'),
      /^415 .*"text\/html" is not supported; send application\/json/,
    ],
    [bodyRequest(Buffer.of(0xff, 0xd8), 'image/jpeg'), /^415 /],
    [bodyRequest(json, 'application/json', [['Content-Encoding', 'br']]), /^415 .*"br"/],
    [
      bodyRequest(`[${'1,'.repeat(1000)}1]`),
      /^413 PayloadTooLargeException .*2003 bytes, more than the limit of 2000/,
    ],
    [
      bodyRequest(`{"inputs":[],"parameters":{"x":${'['.repeat(99)}`),
      /^400 .*nested deeper than 100/,
    ],
    [bodyRequest('{"inputs":5}'), /^400 .*expected an array, got 5/],
    [bodyRequest('{"inputs":[5]}'), /^400 .*expected an object, got 5/],
    [bodyRequest('{"outputs":[]}'), /^400 .*Unknown input "outputs"/],
    [bodyRequest('{"id":"1","id":"2","inputs":[]}'), /^400 .*the name "id" occurs twice/],
    [
      bodyRequest('{"inputs":[{"name":"INPUT0","name":"INPUT0"}]}'),
      /^400 .*the name "name" occurs twice/,
    ],
    [bodyRequest('{"INPUT0":[1,2,3,4]} x'), /^400 Invalid\w+ Malformed JSON at byte 21/],
    [
      { parameters: [parameter('[1,2]', '')] },
      /^400 .*sent as a form.*-H 'Content-Type: application\/json'/,
    ],
    [{ parameters: [parameter('{"INPUT0":[1,2]}', '')] }, /^400 .*sent as a form/],
    [{ parameters: [] }, /^400 .*Missing input "INPUT0"/],
  ]
  for (const [request, pattern] of refused) assert.match(await problem(model, request), pattern)
  const depth = (levels: number): TestRequest =>
    bodyRequest(
      `{"inputs":[],"parameters":{"x":${'['.repeat(levels - 2)}${']'.repeat(levels - 2)}}}`,
    )
  assert.match(await problem(model, depth(100)), /Missing input/)
  assert.match(await problem(model, depth(101)), /nested deeper than 100/)

  const large = await loadModel(t, modelPath('scores4', '1'))
  const members = Array.from({ length: 200_000 }, (_, index) => `"${index}":0`).join()
  const bombs = [
    '['.repeat(250_000),
    '{"a":'.repeat(250_000),
    `{${members}}`,
    `[${'1,'.repeat(3_000_000)}1]`,
  ]
  bombs.push(
    `{"inputs":[${'{},'.repeat(10_000)}{}]}`,
    `{"inputs":[],"outputs":[${'{"name":"x"},'.repeat(300_000)}{}]}`,
  )
  for (const bomb of bombs) {
    const start = process.cpuUsage()
    assert.match(await problem(large, bodyRequest(bomb)), /^400 /)
    const { user, system } = process.cpuUsage(start)
    assert.ok(user + system < 2_000_000, `${bomb.slice(0, 20)} took ${user + system} µs`)
  }
})

test('form parts, fields and query values feed inputs by name', async (t) => {
  const simple = await loadModel(t, modelPath('simple', '1'))
  const row = JSON.stringify([Array(16).fill(1)])
  const sum = [Array(16).fill(2)]
  const bytes = Buffer.from(Int32Array.from({ length: 16 }, () => 1).buffer)
  const [, answer] = await ask(simple, {
    parameters: [parameter('INPUT0', row), parameter('INPUT1', bytes, OCTETS)],
  })
  assert.deepEqual(answer, { OUTPUT0: sum, OUTPUT1: [Array(16).fill(0)] })
  const text = [
    parameter('model_name', 'simple'),
    parameter('INPUT1', row, 'text/plain'),
    parameter('INPUT0', row, 'application/json'),
  ]
  assert.deepEqual(await ask(simple, { parameters: text }), [200, answer])
  const query = [parameter('INPUT0', row), parameter('INPUT1', row), parameter('body', '')]
  assert.deepEqual(await ask(simple, { parameters: query }), [200, answer])
  const refused: [TestRequest, RegExp][] = [
    [{ parameters: [parameter('INPUT0', row), parameter('INPUT0', row)] }, /"INPUT0" occurs twice/],
    [{ parameters: [parameter('INPUT0', row), parameter('x', row)] }, /Unknown input "x"/],
    [
      { parameters: [parameter('INPUT0', row), ...bodyRequest('{}').parameters] },
      /"INPUT0" is a parameter, but the request also has a body/,
    ],
    [{ parameters: [parameter('INPUT0', row, 'image/png')] }, /^415 /],
    [{ parameters: [parameter('INPUT0', `${row}x`)] }, /Malformed JSON/],
  ]
  for (const [request, pattern] of refused) assert.match(await problem(simple, request), pattern)

  const scores = await loadModel(t, modelPath('scores4', '1'))
  const file = parameter('picture.bin', Buffer.from(Float32Array.of(1, 2, 3, 4).buffer), OCTETS)
  assert.deepEqual(await ask(scores, { parameters: [file] }), [200, { OUTPUT0: [[1, 2, 3, 4]] }])
  const withQuery = {
    parameters: [parameter('verbose', '1'), ...bodyRequest([1, 2, 3, 4]).parameters],
  }
  assert.deepEqual(await ask(scores, withQuery), [200, { OUTPUT0: [[1, 2, 3, 4]] }])

  const strings = await loadModel(t, modelPath('raw_bytes1', '1'))
  for (const value of ['hello', '"hello"', '["hello"]']) {
    assert.deepEqual(await ask(strings, { parameters: [parameter('INPUT0', value)] }), [
      200,
      { OUTPUT0: [value] },
    ])
  }
  assert.match(
    await problem(strings, bodyRequest('hello', OCTETS)),
    /raw bytes cannot be split into strings; send a JSON array/,
  )
})

/** Computes with rows; counts its runs. Rows with a negative element fail, as bad indices would. */
class FakeRunner implements Runner {
  readonly inputs = [
    { name: 'x', datatype: 'FP32' as const, shape: [-1, -1], dimensions: ['n', 'm'] },
  ]
  readonly outputs = [
    { name: 'y', datatype: 'FP32' as const, shape: [-1, -1], dimensions: ['n', 'm'] },
  ]
  readonly runs: number[] = []
  readonly #compute: (rows: Float32Array, width: number) => Float32Array

  constructor(compute: (rows: Float32Array, width: number) => Float32Array) {
    this.#compute = compute
  }

  run(inputs: readonly Tensor[]): readonly Tensor[] {
    const [input] = inputs
    assert.ok(input?.datatype === 'FP32' && input.data instanceof Float32Array)
    const [rows = 0, width = 0] = input.shape
    this.runs.push(rows)
    if (input.data.some((value) => value < 0)) throw new ServerError('InvalidInputException', 'bad')
    const data = this.#compute(input.data, width)
    return [{ datatype: 'FP32', shape: [width === 0 ? rows : data.length / width, width], data }]
  }
}

/**
 * The verdict for a graph that is proved to keep requests apart. The first requests must still
 * confirm it in a trial.
 */
const PROVED = { joins: true, reason: 'proved', needsTrial: true }

function decodedRow(...values: readonly number[]): Run {
  const data = Float32Array.from(values)
  return {
    inputs: [{ datatype: 'FP32', shape: [1, data.length], data }],
    outputNames: ['y'],
  }
}

function rowsOfOutcomes(batcher: Batcher, requests: readonly Run[]): unknown[] {
  return batcher
    .run(requests)
    .map((one) => (one instanceof Error ? one.message : [...(one[0]?.data ?? [])]))
}

test('requests of one shape share a run, and a bad one fails alone', () => {
  const double = new FakeRunner((rows) => rows.map((value) => 2 * value))
  const batcher = new Batcher(double, PROVED)
  assert.deepEqual(rowsOfOutcomes(batcher, [decodedRow(1, 2)]), [[2, 4]])
  assert.deepEqual(double.runs, [1])
  // A request, four variants of it (one fails), and a joined run of those that succeed show that
  // samples are independent.
  const three = [decodedRow(1, 2), decodedRow(3, 4), decodedRow(5, 6)]
  assert.deepEqual(rowsOfOutcomes(batcher, three), [
    [2, 4],
    [6, 8],
    [10, 12],
  ])
  assert.deepEqual(double.runs.splice(0), [1, 1, 1, 1, 1, 1, 4, 3])
  assert.deepEqual(rowsOfOutcomes(batcher, three), [
    [2, 4],
    [6, 8],
    [10, 12],
  ])
  assert.deepEqual(double.runs.splice(0), [3])
  const mixed = [decodedRow(1), decodedRow(1, 2), decodedRow(7), decodedRow(1, 2, 3), decodedRow(9)]
  assert.deepEqual(rowsOfOutcomes(batcher, mixed), [[2], [2, 4], [14], [2, 4, 6], [18]])
  assert.deepEqual(double.runs.splice(0).toSorted(), [1, 1, 3])
  const bad = [decodedRow(1), decodedRow(-1), decodedRow(3)]
  assert.deepEqual(rowsOfOutcomes(batcher, bad), [[2], 'bad', [6]])
  assert.deepEqual(double.runs.splice(0), [3, 1, 1, 1])
  rowsOfOutcomes(batcher, three)
  assert.deepEqual(double.runs.splice(0), [3], 'one bad request does not end the sharing')

  const many: Run = {
    ...decodedRow(),
    inputs: [{ datatype: 'FP32', shape: [3, 1], data: Float32Array.of(1, 2, 3) }],
  }
  const none: Run = {
    ...decodedRow(),
    inputs: [{ datatype: 'FP32', shape: [0, 1], data: new Float32Array() }],
  }
  assert.deepEqual(rowsOfOutcomes(batcher, [many, none, decodedRow(4)]), [[2, 4, 6], [], [8]])
  assert.deepEqual(double.runs.splice(0), [4, 0])
})

test('a model whose rows depend on each other never gets joined requests', () => {
  const sum = (rows: Float32Array): number => rows.reduce((total, value) => total + value, 0)
  const models: [string, (rows: Float32Array, width: number) => Float32Array][] = [
    ['softmax over all rows', (rows) => rows.map((value) => value / sum(rows))],
    [
      'distance from the mean of all rows',
      (rows) => rows.map((value) => value - sum(rows) / rows.length),
    ],
    ['one row for all', (rows, width) => rows.slice(0, width)],
    ['sorted over all rows', (rows) => rows.toSorted()],
  ]
  for (const [name, compute] of models) {
    for (const requests of [
      [decodedRow(1, 2), decodedRow(3, 4)],
      [decodedRow(1, 2, 3, 4), decodedRow(4, 4, 4, 4)],
      [decodedRow(5, 5), decodedRow(5, 5)],
    ]) {
      const runner = new FakeRunner(compute)
      const batcher = new Batcher(runner, PROVED)
      const alone = requests.map((one) => {
        const [output] = new FakeRunner(compute).run(one.inputs)
        return [...(output?.data ?? [])]
      })
      assert.deepEqual(rowsOfOutcomes(batcher, requests), alone, name)
      runner.runs.length = 0
      assert.deepEqual(rowsOfOutcomes(batcher, requests), alone, name)
      assert.deepEqual(runner.runs, [1, 1], name)
    }
  }
  const fixed = new FakeRunner((rows) => rows)
  const unproved = { joins: false, reason: 'not proved', needsTrial: false }
  rowsOfOutcomes(new Batcher(fixed, unproved), [decodedRow(1), decodedRow(2)])
  assert.deepEqual(fixed.runs, [1, 1])
})

test('every request of a frame keeps its own status, id and response', async (t) => {
  const mlp = await loadModel(t, modelPath('mlp.onnx'))
  const random = randomNumbers(11)
  const sample = (): number[] => Array.from({ length: 784 }, () => Math.fround(random.next()))
  const bodies = [sample(), sample(), [sample(), sample()], [1, 2], sample(), [], sample(), 'x']
  const requests = bodies.map((body) => bodyRequest(JSON.stringify(body)))
  requests.push({ headers: [['Describe', 'true']], parameters: [] })
  const together = await predictAll(mlp, requests)
  assert.deepEqual(
    together.map(({ status }) => status),
    [200, 200, 200, 400, 200, 200, 200, 400, 200],
  )
  assert.deepEqual(
    together.map(({ id }) => id),
    requests.map((_, index) => `r${index}`),
  )
  for (const [index, request] of requests.entries()) {
    const alone = await predict(mlp, request)
    const [joined, single] = [together[index]?.body.toString() ?? '', alone.body.toString()]
    if (alone.status !== 200 || index === 8) assert.equal(joined, single)
    else assertClose(JSON.parse(joined), JSON.parse(single))
  }
  const strings = await loadModel(t, modelPath('identity', '1'))
  const words = [
    ['a', 'b'],
    ['c\0', 'd'],
    ['e', 'f', 'g'],
    ['h', 'i'],
  ].map((row) => bodyRequest([row]))
  const answers = await predictAll(strings, words)
  assert.deepEqual(
    answers.map(({ body }) => JSON.parse(body.toString()).OUTPUT0[0].join('')),
    ['ab', 'c\0d', 'efg', 'hi'],
  )
  const { message, ...none } = await mlp.predict([], performance.now())
  assert.deepEqual(none, { code: 200, predictions: [] })
  assert.match(message, /^Prediction success\. \[NS\]:\d+,\d+,\d+$/)
})

function assertClose(actual: unknown, expected: unknown): void {
  if (typeof expected === 'number') {
    assert.ok(
      typeof actual === 'number' && Math.abs(actual - expected) < 1e-5,
      `${String(actual)} ${expected}`,
    )
  } else {
    assert.ok(typeof expected === 'object' && expected !== null)
    assert.ok(typeof actual === 'object' && actual !== null)
    assert.deepEqual(Object.keys(actual), Object.keys(expected))
    const values: unknown[] = Object.values(actual)
    for (const [index, value] of Object.values(expected).entries())
      assertClose(values[index], value)
  }
}

test('responses in raw bytes need one numeric output', async (t) => {
  const simple = await loadModel(t, modelPath('simple', '1'))
  const strings = await loadModel(t, modelPath('raw_bytes1', '1'))
  const row = [Array(16).fill(1)]
  const body = { INPUT0: row, INPUT1: row }
  assert.match(
    await problem(simple, bodyRequest(body, 'application/json', [ACCEPT_OCTETS])),
    /^406 InvalidInputException The model has 2 outputs, .*accept application\/json\.$/,
  )
  assert.match(
    await problem(strings, bodyRequest(['x'], 'application/json', [ACCEPT_OCTETS])),
    /^406 .*no numeric output/,
  )
  const bool = await loadModel(t, modelPath('identity_bool', '1'))
  const headers = [ACCEPT_OCTETS, ['TENSOR-SHAPE', '1,4']] as const
  const normalised = await predict(bool, bodyRequest(Buffer.of(0, 1, 2, 255), OCTETS, headers))
  assert.equal(normalised.body.toString('hex'), '00010101')
})

test('describe returns names, types, shapes, runtime, providers and labels', async (t) => {
  const folder = temporaryFolder(t)
  symlinkSync(modelPath('mlp.onnx'), path.join(folder, 'model.onnx'))
  writeFileSync(path.join(folder, 'labels.txt'), 'zero\none\n')
  const settings = {
    labels: 'labels.txt',
    version: '2.1',
    threads: 2,
    graphOptimization: 'disabled',
    providers: ['cpu'],
  }
  writeFileSync(path.join(folder, 'model.json'), JSON.stringify(settings))
  const mlp = await loadModel(t, folder)
  const question = {
    headers: [['DESCRIBE', 'True']],
    parameters: [parameter('body', '')],
  } as const
  const [status, description] = await ask(mlp, question)
  assert.deepEqual(
    [status, description],
    [
      200,
      {
        name: 'tested',
        version: '2.1',
        handler: 'onnx',
        runtime: { name: 'onnxruntime', version: env.versions.node },
        providers: ['cpu'],
        batchable: true,
        batching: { joins: true, reason: 'No operator mixes the requests of a run.' },
        inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 784], dimensions: ['N', 784] }],
        outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 10], dimensions: ['N', 10] }],
        labels: ['zero', 'one'],
      },
    ],
  )
  const mnist = await loadModel(t, modelPath('mnist.onnx'))
  const [, fixed] = await ask(mnist, question)
  assert.ok(
    typeof fixed === 'object' && fixed !== null && 'batchable' in fixed && 'version' in fixed,
  )
  assert.deepEqual([fixed.batchable, fixed.version], [false, '1.0'])
  const no = await ask(mlp, { headers: [['describe', 'False']], parameters: [] })
  assert.equal(no[0], 400)
})

async function assertRefused(t: TestContext, file: string): Promise<void> {
  const name = path.basename(file)
  await assert.rejects(
    loadModel(t, file),
    (error) => {
      assert.ok(error instanceof ServerError, String(error))
      assert.equal(error.type, 'InvalidModelException', name)
      assert.ok(error.message.length <= 1024 && !/[\n\r]/.test(error.message), error.message)
      assert.ok(!/(^|[\s"'])\/\w+\/|onnxruntime_src|\.cc:/.test(error.message), error.message)
      return true
    },
    name,
  )
}

testShared('the hostile models of ../shared are refused alike', {}, async (t) => {
  const hostile = sharedPath('hostile', 'onnx')
  // The others take minutes or gigabytes: they need a process that can be killed.
  const slow = /chain_100k|nest|loop|fold|lenbomb/
  const loads = [...riskyModels, 'good']
  for (const file of readdirSync(hostile).filter(
    (name) => name.endsWith('.onnx') && !slow.test(name),
  )) {
    const name = path.basename(file, '.onnx')
    if (loads.includes(name)) await assert.doesNotReject(loadModel(t, path.join(hostile, file)))
    else await assertRefused(t, path.join(hostile, file))
  }
})

test('models that cannot be served say why, without paths', async (t) => {
  const folder = temporaryFolder(t)
  for (const file of brokenModels(folder)) await assertRefused(t, file)
  for (const name of riskyModels) {
    await assert.doesNotReject(loadModel(t, riskyModel(folder, name)), name)
  }
  const refused: [string, Parameters<typeof loadModel>[2], RegExp][] = [
    [modelPath('identity_bf16', '1'), {}, /unsupported type: ONNX type 16 \(BF16\)/],
    [path.join(temporaryFolder(t), 'absent.onnx'), {}, /cannot be read \(ENOENT\)/],
    [temporaryFolder(t), {}, /no \.onnx file/],
    [
      modelPath('mnist.onnx'),
      { options: { providers: ['nope'] } },
      /provider "nope" is not available in this onnxruntime; it has cpu/,
    ],
  ]
  for (const [file, overrides, message] of refused) {
    await assert.rejects(loadModel(t, file, overrides), { type: 'InvalidModelException', message })
  }
  const raw =
    "Load model from /srv/my models/a/x.onnx failed:/src/core/graph.cc:14 onnxruntime::Graph::Graph(const std::map<int, int>&, bool) bad\nname:/tmp/secret/w.bin Name:'/layer1/Conv' ../../etc/passwd"
  assert.equal(
    cleanMessage(raw, '/srv/my models/a'),
    "Load model from x.onnx failed:bad name:w.bin Name:'/layer1/Conv' ../../etc/passwd",
  )
  assert.ok(cleanMessage('x'.repeat(5000), '').length <= 1024)
})

test('what a model fails with on an input is a 4xx, memory a 507, and the next request works', async (t) => {
  const folder = temporaryFolder(t)
  const load = (name: string): Promise<LoadedModel> => loadModel(t, riskyModel(folder, name))
  const x = [[1, 2, 3, 4]]
  const runs: [string, unknown, RegExp][] = [
    ['gather_oob', { x, i: [7] }, /^400 InvalidInputException .*Gather node.*idx=7/],
    ['scatter_oob', { x, i: [[7, 7]], u: [1] }, /^400 .*ScatterND/],
    ['reshape_in', { x, s: [-1, -1] }, /^400 .*At most one dimension can be -1/],
    ['reshape_in', { x, s: [3] }, /^400 .*cannot be reshaped/],
    ['tile_input', { x, s: [1_000_000, 1_000_000] }, /^400 .*Tile/],
    ['shape_input', { s: [-5] }, /^400 /],
    [
      'shape_input',
      { s: [2 ** 40] },
      /^507 InsufficientMemoryException .*Failed to allocate memory/,
    ],
  ]
  for (const [name, body, pattern] of runs) {
    const text = await problem(await load(name), bodyRequest(body))
    assert.match(text, pattern)
    assert.ok(!/onnxruntime_src|\.(cc|h):\d/.test(text), text)
  }
  const gather = await load('gather_oob')
  const frame = [[0], [7], [0]].map((i) => bodyRequest({ x, i }))
  assert.deepEqual(
    (await predictAll(gather, frame)).map(({ status }) => status),
    [200, 400, 200],
  )
})

test('responses above the limit are rejected, in every form', async (t) => {
  const options = { maxResponseBytes: 200 }
  const model = await loadModel(t, modelPath('raw_fp32', '1'), { options })
  const values = Array<number>(60).fill(0.25)
  const bytes = Buffer.from(Float32Array.from(values).buffer)
  for (const request of [
    bodyRequest(values),
    bodyRequest(bytes, OCTETS, [ACCEPT_OCTETS]),
    bodyRequest({ inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [60], data: values }] }),
  ]) {
    const text = await problem(model, request)
    assert.equal(
      text,
      '507 InsufficientMemoryException The response is larger than the limit of 200 bytes.',
    )
  }
  assert.equal(
    (await predict(model, bodyRequest(bytes.subarray(0, 200), OCTETS, [ACCEPT_OCTETS]))).status,
    200,
  )
})

function randomElement(random: RandomNumbers, datatype: Datatype, bytes: Buffer): void {
  for (let index = 0; index < bytes.length; index++) bytes[index] = random.integer(0, 255)
  if (datatype === 'BOOL')
    for (let index = 0; index < bytes.length; index++) bytes[index] = (bytes[index] ?? 0) & 1
}

test('random tensors of every datatype come back bit for bit, in JSON and in raw bytes', async (t) => {
  const random = randomNumbers(2026)
  for (const datatype of DATATYPES) {
    if (datatype === 'BYTES') continue
    const model = await loadModel(t, modelPath(`identity_${datatype.toLowerCase()}`, '1'))
    for (let round = 0; round < 25; round++) {
      const shape = [random.integer(0, 4), random.integer(0, 9)]
      const count = (shape[0] ?? 0) * (shape[1] ?? 0)
      // At every alignment, as slices of a frame are.
      const frame = Buffer.alloc(count * elementBytes(datatype) + 8)
      const offset = random.integer(0, 8)
      const bytes = frame.subarray(offset, offset + count * elementBytes(datatype))
      randomElement(random, datatype, bytes)
      const headers = [['Tensor-Shape', shape.join()], ACCEPT_OCTETS] as const
      const raw = await predict(model, bodyRequest(bytes, OCTETS, headers))
      assert.equal(raw.status, 200, raw.body.toString())
      assert.ok(raw.body.equals(bytes), `${datatype} ${shape.join('x')}`)
      const json = await predict(model, bodyRequest(bytes, OCTETS, headers.slice(0, 1)))
      // NaN and infinities have become null, which cannot be sent back.
      const text = json.body.toString().replace('OUTPUT0', 'INPUT0')
      if (text.includes('null')) continue
      const again = await predict(model, bodyRequest(text, 'application/json', [ACCEPT_OCTETS]))
      assert.equal(again.status, 200, again.body.toString())
      assert.ok(again.body.equals(bytes), `${datatype} ${shape.join('x')} as ${text}`)
    }
  }
})

test('no mutation of a valid request is answered with anything but 200 or 4xx', async (t) => {
  const random = randomNumbers(7)
  const fp32 = await loadModel(t, modelPath('identity_fp32', '1'))
  const bytes = await loadModel(t, modelPath('simple_identity', '1'))
  const seeds: [LoadedModel, string][] = [
    [fp32, '{"INPUT0":[[1.5,-2e3],[NaN,0.25]]}'],
    [fp32, '[[1,2],[3,4]]'],
    [
      fp32,
      '{"id":"a","inputs":[{"name":"INPUT0","shape":[1,2],"datatype":"FP32","data":[1,2]}],"outputs":[{"name":"OUTPUT0","parameters":{"x":true}}]}',
    ],
    [
      bytes,
      '{"inputs":[{"data":["a\\u0000","é\\n"],"name":"INPUT0","datatype":"BYTES","shape":[1,2],"parameters":{"a":null}}]}',
    ],
  ]
  const alphabet = Buffer.from('[]{}",:0123456789.eE+-tfnN\\u \n\0\xff', 'latin1')
  const statuses = new Set<number>()
  for (let round = 0; round < 4000; round++) {
    const [model, seed] = seeds[round % seeds.length] ?? [fp32, '']
    let body = Buffer.from(seed)
    for (let changes = random.integer(1, 3); changes > 0; changes--) {
      const at = random.integer(0, body.length)
      const added = alphabet
        .subarray(random.integer(0, alphabet.length - 1))
        .subarray(0, random.integer(0, 2))
      body = Buffer.concat([body.subarray(0, at), added, body.subarray(at + random.integer(0, 2))])
    }
    const { status, body: answer } = await predict(model, bodyRequest(body))
    assert.ok(status === 200 || (status >= 400 && status < 500), `${status}: ${body.toString()}`)
    assert.doesNotThrow(() => JSON.parse(answer.toString()), body.toString())
    statuses.add(status)
  }
  assert.deepEqual([...statuses].toSorted(), [200, 400])
})
