/** What the proof of batching says of small graphs, and of files that are no graphs. */
import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, openSync, readdirSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { DEFAULT_WORKER_OPTIONS } from '../../../../../src/worker/process/handler.ts'
import { judgeBatching } from '../../../../../src/worker/process/onnx/batching/verdict.ts'
import { OnnxSession } from '../../../../../src/worker/process/onnx/runtime/session.ts'
import type { TensorSpec } from '../../../../../src/worker/process/onnx/tensors/metadata.ts'
import { floats, integers, modelBytes, node, writeModel } from '../../../../helpers/onnx-builder.ts'
import type { Constant, ModelSource, NodeSource } from '../../../../helpers/onnx-builder.ts'
import { randomNumbers } from '../../../../helpers/random.ts'
import { temporaryFolder } from '../../../../helpers/server.ts'
import { shared, sharedPath } from '../../../../helpers/shared.ts'

/** A graph from `x` (float, `[N,4]` unless said otherwise) to `y`. */
interface Case {
  readonly nodes: readonly NodeSource[]
  readonly constants?: Readonly<Record<string, Constant>>
  readonly x?: readonly (number | string)[]
  readonly version?: number
  /** What the reason has to say; absent where requests may share runs. */
  readonly problem?: RegExp
}

const WEIGHTS = floats(
  [4, 4],
  Array.from({ length: 16 }, (_, index) => index / 8 - 1),
)
const LIST = floats([4], [0.1, 0.2, 0.3, 0.4])
const ZERO: Constant = { type: 'INT64', shape: [], values: [0] }
const IMAGE = ['N', 2, 4, 4]
const KERNEL = floats([2, 2, 1, 1], [1, 2, 3, 4])

const CASES: Readonly<Record<string, Case>> = {
  'a product with weights': { nodes: [node('MatMul', ['x', 'w'], 'y')], constants: { w: WEIGHTS } },
  'a product of all with all': {
    nodes: [node('Transpose', ['x'], 't', { perm: [1, 0] }), node('MatMul', ['x', 't'], 'y')],
    problem: /^Operator MatMul \(node "MatMul_y"\) multiplies each request with all others\.$/,
  },
  'a sum over the batch': {
    nodes: [node('Transpose', ['x'], 't', { perm: [1, 0] }), node('MatMul', ['t', 'x'], 'y')],
    problem: /sums over the batch dimension/,
  },
  'weights as large as a batch': {
    nodes: [node('Add', ['x', 'w'], 'y')],
    constants: { w: WEIGHTS },
    problem: /a different constant for each request/,
  },
  'a softmax of each sample': { nodes: [node('Softmax', ['x'], 'y', { axis: 1 })] },
  'a softmax of the batch': {
    nodes: [node('Softmax', ['x'], 'y', { axis: 0 })],
    problem: /Operator Softmax .* operates over the batch dimension/,
  },
  'a softmax before version 13 over an axis and all behind': {
    nodes: [node('Softmax', ['x'], 'y', { axis: 0 })],
    x: ['N', 2, 4],
    version: 11,
    problem: /operates over the batch dimension/,
  },
  'the default axis before version 13': { nodes: [node('Softmax', ['x'], 'y')], version: 11 },
  'a mean without axes': {
    nodes: [node('ReduceMean', ['x'], 'm'), node('Sub', ['x', 'm'], 'y')],
    problem: /ReduceMean .* operates over the batch dimension/,
  },
  'axes as an input': {
    nodes: [node('ReduceSum', ['x', 'axes'], 's'), node('Div', ['x', 's'], 'y')],
    constants: { axes: integers(-1) },
  },
  'axes that come from a request': {
    nodes: [
      node('Cast', ['x'], 'axes2', { to: 7 }),
      node('Reshape', ['axes2', 'minus'], 'axes'),
      node('ReduceSum', ['x', 'axes'], 's'),
      node('Div', ['x', 's'], 'y'),
    ],
    constants: { minus: integers(-1) },
    problem: /ReduceSum .* has an input 1 that is computed at run time/,
  },
  'a dynamic scale': {
    nodes: [
      node('DynamicQuantizeLinear', ['x'], ['q', 's', 'z']),
      node('DequantizeLinear', ['q', 's', 'z'], 'y'),
    ],
    problem:
      /^Operator DynamicQuantizeLinear \(node "[^"]*"\) computes its scale from the whole batch\.$/,
  },
  'a dynamic scale beside the way to the outputs': {
    nodes: [node('DynamicQuantizeLinear', ['w'], ['q', 's', 'z']), node('Relu', ['x'], 'y')],
    constants: { w: LIST },
    problem: /DynamicQuantizeLinear .* computes its scale from the whole batch/,
  },
  'training mode': {
    nodes: [
      node('BatchNormalization', ['x', 'w', 'w', 'w', 'w'], ['y', 'mean', 'deviation'], {
        training_mode: 1,
      }),
    ],
    constants: { w: LIST },
    problem: /BatchNormalization .* normalizes over the whole batch \(training mode\)/,
  },
  'a shape that contains the batch size': {
    nodes: [
      node('Shape', ['x'], 'shape'),
      node('Gather', ['shape', 'zero'], 'n'),
      node('Unsqueeze', ['n', 'axis'], 'n1'),
      node('Concat', ['n1', 'rest'], 'target', { axis: 0 }),
      node('Reshape', ['x', 'target'], 'r'),
      node('Reshape', ['r', 'back'], 'y'),
    ],
    constants: { zero: ZERO, axis: integers(0), rest: integers(2, -1), back: integers(-1, 4) },
  },
  'a fixed batch': {
    nodes: [node('Reshape', ['x', 'one'], 'y')],
    constants: { one: integers(1, 4) },
    problem: /Reshape .* has a fixed batch size/,
  },
  'the batch in another order': {
    nodes: [node('Transpose', ['x'], 't', { perm: [1, 0] }), node('Reshape', ['t', 'shape'], 'y')],
    constants: { shape: integers(-1, 4) },
    problem: /Reshape .* moves elements between requests/,
  },
  'samples of another size': {
    nodes: [node('Reshape', ['x', 'shape'], 'y')],
    constants: { shape: integers(-1, 2) },
    problem: /The first dimension of output "y" differs from the batch dimension of the inputs/,
  },
  'the sequence and the batch as one axis, and back': {
    nodes: [
      node('Reshape', ['x', 'flat'], 'f'),
      node('MatMul', ['f', 'w'], 'm'),
      node('Shape', ['x'], 'shape'),
      node('Reshape', ['m', 'shape'], 'y'),
    ],
    x: ['N', 'sequence', 4],
    constants: { flat: integers(-1, 4), w: WEIGHTS },
  },
  'a token for each sample': {
    nodes: [
      node('Shape', ['x'], 'shape', { start: 0, end: 1 }),
      node('Concat', ['shape', 'rest'], 'target', { axis: 0 }),
      node('Expand', ['token', 'target'], 'tokens'),
      node('Concat', ['tokens', 'x'], 'y', { axis: 1 }),
    ],
    x: ['N', 'sequence', 4],
    constants: { rest: integers(1, 4), token: floats([1, 1, 4], [1, 2, 3, 4]) },
  },
  'numbers of the samples': {
    nodes: [
      node('Shape', ['x'], 'shape'),
      node('Gather', ['shape', 'zero'], 'n'),
      node('Range', ['zero', 'n', 'one'], 'r'),
      node('Cast', ['r'], 'f', { to: 1 }),
      node('Unsqueeze', ['f', 'axis'], 'u'),
      node('Add', ['x', 'u'], 'y'),
    ],
    constants: { zero: ZERO, one: { ...ZERO, values: [1] }, axis: integers(1) },
    problem: /Range .* creates a range over the batch dimension/,
  },
  'divided by the size of the batch': {
    nodes: [
      node('Size', ['x'], 'size'),
      node('Cast', ['size'], 'f', { to: 1 }),
      node('Div', ['x', 'f'], 'y'),
    ],
    problem: /Div .* depends on the batch size/,
  },
  'a squeeze of whatever is 1': {
    nodes: [node('Squeeze', ['x'], 'y')],
    problem: /Squeeze .* removes the batch dimension if it is 1/,
  },
  'a part of the batch': {
    nodes: [node('Slice', ['x', 'start', 'end', 'axis'], 'y')],
    constants: { start: integers(0), end: integers(1), axis: integers(0) },
    problem: /Slice .* slices the batch dimension/,
  },
  'the highest of each sample': {
    nodes: [node('TopK', ['x', 'k'], ['y', 'places'])],
    constants: { k: integers(2) },
  },
  'convolution, pooling, classes': {
    nodes: [
      node('Conv', ['x', 'kernel'], 'c'),
      node('InstanceNormalization', ['c', 'two', 'two'], 'i'),
      node('MaxPool', ['i'], 'p', { kernel_shape: [2, 2], strides: [2, 2] }),
      node('Flatten', ['p'], 'f'),
      node('Gemm', ['f', 'w', 'b'], 'y'),
    ],
    x: IMAGE,
    constants: {
      kernel: KERNEL,
      two: floats([2], [1, 2]),
      w: floats(
        [8, 3],
        Array.from({ length: 24 }, () => 0.5),
      ),
      b: floats([3], [1, 2, 3]),
    },
  },
  'places of a pooling': {
    nodes: [
      node('MaxPool', ['x'], ['p', 'places'], { kernel_shape: [2, 2] }),
      node('Cast', ['places'], 'y', { to: 1 }),
    ],
    x: IMAGE,
    problem: /MaxPool .* has an output that the proof does not support/,
  },
  'the batch as time steps': {
    nodes: [
      node('Unsqueeze', ['x', 'axis'], 'u'),
      node('LSTM', ['u', 'w', 'r'], ['all', 'last'], { hidden_size: 1 }),
      node('Reshape', ['all', 'flat'], 'y'),
    ],
    constants: {
      axis: integers(1),
      w: floats(
        [1, 4, 4],
        Array.from({ length: 16 }, () => 0.1),
      ),
      r: floats([1, 4, 1], [1, 1, 1, 1]),
      flat: integers(0, -1),
    },
    problem: /LSTM .* uses the batch dimension as time steps/,
  },
  'control flow': {
    nodes: [
      node('If', ['c'], 'y', {
        then_branch: {
          graph: {
            nodes: [node('Identity', ['x'], 'a')],
            inputs: [],
            outputs: [{ name: 'a', type: 'FP32', shape: ['N', 4] }],
          },
        },
        else_branch: {
          graph: {
            nodes: [node('Neg', ['x'], 'b')],
            inputs: [],
            outputs: [{ name: 'b', type: 'FP32', shape: ['N', 4] }],
          },
        },
      }),
    ],
    constants: { c: { type: 'BOOL', shape: [], values: [1] } },
    problem: /^Operator If \(node "If_y"\) has no rule in the proof\.$/,
  },
  'random numbers': {
    nodes: [node('RandomNormalLike', ['x'], 'r'), node('Add', ['x', 'r'], 'y')],
    problem: /Operator RandomNormalLike .* has no rule in the proof/,
  },
  'what does not depend on the requests': {
    nodes: [node('Identity', ['w'], 'y')],
    constants: { w: WEIGHTS },
    problem: /^Output "y" has no batch dimension\.$/,
  },
  'a batch that is not in front': {
    nodes: [node('Transpose', ['x'], 'y', { perm: [1, 0] })],
    problem: /^Output "y" does not have the batch dimension first\.$/,
  },
  'a fixed first dimension': {
    nodes: [node('Relu', ['x'], 'y')],
    x: [1, 4],
    problem: /^Input "x" has a fixed first dimension\.$/,
  },
  'one name for the batch and another dimension': {
    nodes: [node('Relu', ['x'], 'y')],
    x: ['N', 'N'],
    problem: /^Input "x" has the batch dimension "N" more than once\.$/,
  },
}

function modelOf({ nodes, constants = {}, x = ['N', 4], version }: Case): ModelSource {
  return {
    nodes,
    constants,
    inputs: [{ name: 'x', type: 'FP32', shape: x }],
    outputs: [{ name: 'y', type: 'FP32', shape: [] }],
    ...(version !== undefined && { version }),
  }
}

/** As onnxruntime describes the inputs of a model. */
function specsOf({ inputs }: ModelSource): readonly TensorSpec[] {
  return inputs.map(({ name, shape: dimensions = [] }) => ({
    name,
    datatype: 'FP32',
    dimensions,
    shape: dimensions.map((dimension) => (typeof dimension === 'number' ? dimension : -1)),
  }))
}

test('each operator is followed, or named as the reason', (t) => {
  const file = path.join(temporaryFolder(t), 'model.onnx')
  for (const [name, one] of Object.entries(CASES)) {
    const model = modelOf(one)
    const { joins, reason } = judgeBatching(writeModel(file, model), specsOf(model), 'auto')
    assert.equal(joins, one.problem === undefined, `${name}: ${reason}`)
    assert.match(reason, one.problem ?? /^No operator mixes the requests of a run\.$/, name)
  }
})

test('a setting decides without the graph, but not against the inputs', (t) => {
  const file = path.join(temporaryFolder(t), 'model.onnx')
  writeFileSync(file, 'no graph')
  const open = specsOf(modelOf({ nodes: [] }))
  assert.equal(judgeBatching(file, open, 'always').joins, true)
  assert.equal(judgeBatching(file, open, 'never').joins, false)
  const closed = judgeBatching(file, specsOf(modelOf({ nodes: [], x: [1, 4] })), 'always')
  assert.deepEqual([closed.joins, closed.reason], [false, 'Input "x" has a fixed first dimension.'])
})

test('a file that is cut, damaged or missing is not proved, and ends at once', (t) => {
  const file = path.join(temporaryFolder(t), 'model.onnx')
  const model = modelOf(CASES['a shape that contains the batch size'] ?? { nodes: [] })
  const specs = specsOf(model)
  assert.match(judgeBatching(file, specs, 'auto').reason, /cannot be analyzed/)
  const bytes = modelBytes(model)
  for (let length = 0; length < bytes.length; length++) {
    writeFileSync(file, bytes.subarray(0, length))
    const { joins, reason } = judgeBatching(file, specs, 'auto')
    // What is cut behind the graph, its operator set, is missing too.
    assert.equal(joins, false, `${length} of ${bytes.length} bytes: ${reason}`)
  }
  const seed = 7
  const random = randomNumbers(seed)
  for (let round = 0; round < 500; round++) {
    const damaged = Buffer.from(bytes)
    for (let count = random.integer(1, 4); count > 0; count--) {
      damaged[random.integer(0, bytes.length - 1)] = random.integer(0, 255)
    }
    writeFileSync(file, damaged)
    assert.equal(typeof judgeBatching(file, specs, 'auto').joins, 'boolean', `seed ${seed}`)
  }
})

test('weights of 2 GiB are not read', (t) => {
  const file = path.join(temporaryFolder(t), 'model.onnx')
  const descriptor = openSync(file, 'w')
  t.after(() => closeSync(descriptor))
  const size = 2 ** 31 - 65_536
  // A graph of weights without their bytes, which follow as a hole in the file.
  const tensor = new BinaryWriter()
  tensor.tag(1, WireType.Varint).int64(size / 4)
  tensor.tag(2, WireType.Varint).int32(1)
  tensor.tag(8, WireType.LengthDelimited).string('w')
  tensor.tag(9, WireType.LengthDelimited).uint32(size)
  const head = tensor.finish()
  const graph = new BinaryWriter()
  graph.tag(5, WireType.LengthDelimited).uint32(head.length + size)
  const inner = graph.finish()
  const outer = new BinaryWriter().tag(7, WireType.LengthDelimited)
  const before = outer.uint32(inner.length + head.length + size).finish()
  const rest = modelBytes(modelOf({ nodes: [node('Relu', ['x'], 'y')] }))
  writeSync(descriptor, Buffer.concat([before, inner, head]), 0, undefined, 0)
  const end = before.length + inner.length + head.length + size
  ftruncateSync(descriptor, end)
  writeSync(descriptor, rest, 0, undefined, end)
  const started = performance.now()
  const memory = process.memoryUsage().rss
  const { joins, reason } = judgeBatching(file, specsOf(modelOf({ nodes: [] })), 'auto')
  assert.equal(joins, true, reason)
  assert.ok(performance.now() - started < 1000)
  assert.ok(process.memoryUsage().rss - memory < 64 * 2 ** 20)
})

test('a graph that doubles lists, sizes and dimensions ends at once', (t) => {
  const file = path.join(temporaryFolder(t), 'model.onnx')
  const nodes: NodeSource[] = [
    node('Shape', ['x'], 's0'),
    node('Size', ['x'], 'p0'),
    node('Unsqueeze', ['x', 'axes'], 'u0'),
  ]
  for (let index = 0; index < 60; index++) {
    const [before, after] = [index, index + 1]
    nodes.push(node('Concat', [`s${before}`, `s${before}`], `s${after}`, { axis: 0 }))
    nodes.push(node('Mul', [`p${before}`, `p${before}`], `p${after}`))
    nodes.push(node('Unsqueeze', [`u${before}`, 'axes'], `u${after}`))
  }
  nodes.push(node('Reshape', ['x', 's60'], 'r'), node('Div', ['r', 'p60'], 'y'))
  const model = modelOf({ nodes, constants: { axes: integers(1) } })
  const started = performance.now()
  const { reason } = judgeBatching(writeModel(file, model), specsOf(model), 'auto')
  assert.match(reason, /^Operator Concat .* builds a list of too many sizes\.$/)
  assert.ok(performance.now() - started < 1000)
})

test('a file of nothing but fields is left in time', (t) => {
  const file = path.join(temporaryFolder(t), 'model.onnx')
  writeFileSync(file, Buffer.alloc(32 * 2 ** 20, Buffer.from([0x08, 0x01])))
  const started = performance.now()
  const { reason } = judgeBatching(file, specsOf(modelOf({ nodes: [] })), 'auto')
  assert.match(reason, /^The graph cannot be analyzed: the file has too many parts\.$/)
  assert.ok(performance.now() - started < 10_000)
})

/** Models beside the repository whose first dimensions are open: do their requests share runs? */
const SHARED: Readonly<Record<string, boolean>> = {
  'models/light_squeezenet_n.onnx': true,
  'models/mlp.onnx': true,
  'models/mlp_big.onnx': true,
  'models/scores4/1/model.onnx': true,
  'models/simple/1/model.onnx': true,
  'models/simple_string/1/model.onnx': true,
  'models/simple_dyna_sequence/1/model.onnx': true,
  'cases/models/plain_mm/model.onnx': true,
  'cases/models/skl_columns_zip/model.onnx': true,
  'cases/models/symbols/model.onnx': true,
  'cases/models/tokens/model.onnx': true,
  'cases/models/xgb/model.onnx': true,
  'cases/models/clip/model.onnx': false,
  'cases/models/dynquant/model.onnx': false,
  'cases/models/mixed_scale/model.onnx': false,
  'cases/models/skl_text1d_c/model.onnx': false,
}

test('models that people have are proved, others named with their reason', () => {
  const own = readdirSync('examples', { withFileTypes: true })
    .filter((entry) => ['digits', 'iris'].includes(entry.name))
    .map((entry): [string, boolean] => [path.resolve('examples', entry.name, 'model.onnx'), true])
  const more = Object.entries(shared === undefined ? {} : SHARED).map(
    ([name, joins]): [string, boolean] => [sharedPath(name), joins],
  )
  for (const [file, expected] of [...own, ...more]) {
    const context = { modelName: 'm', modelPath: file, handler: '', batchSize: 1, gpu: undefined }
    const session = OnnxSession.load(file, {}, { ...context, options: DEFAULT_WORKER_OPTIONS })
    const { joins, reason } = judgeBatching(file, session.inputs, 'auto')
    session.close()
    assert.equal(joins, expected, `${file}: ${reason}`)
  }
})
