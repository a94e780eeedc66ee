/** Models with weights that are worth sharing, one for each way in which models store weights. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { floats, integers, modelBytes, node, writeModel } from './onnx-builder.ts'
import type { Constant, GraphSource, ModelSource, ValueSource } from './onnx-builder.ts'
import { randomNumbers } from './random.ts'

const WIDTH = 64
/** FP32 as a number of ONNX's `TensorProto.DataType`. */
const FLOAT = 1

/** Random numbers between -0.1 and 0.1. */
function randomWeights(seed: number, count: number): number[] {
  const random = randomNumbers(seed)
  return Array.from({ length: count }, () => (random.next() - 0.5) / 5)
}

/** Random weights between -0.1 and 0.1. */
export function weights(seed: number, ...shape: readonly number[]): Constant {
  return floats(
    shape,
    randomWeights(
      seed,
      shape.reduce((product, size) => product * size, 1),
    ),
  )
}

const x: ValueSource = { name: 'x', type: 'FP32', shape: ['N', WIDTH] }
const y: ValueSource = { name: 'y', type: 'FP32', shape: ['N', WIDTH] }

/** Layers of `width` neurons: each has `width * width * 4` bytes of weights. */
export function layers(width: number, count: number, seed = 1): Buffer {
  const nodes = []
  const constants: Record<string, Constant> = {}
  for (let layer = 0; layer < count; layer += 1) {
    const input = layer === 0 ? 'x' : `r${layer - 1}`
    constants[`w${layer}`] = weights(seed + layer, width, width)
    nodes.push(node('MatMul', [input, `w${layer}`], `m${layer}`))
    nodes.push(node('Relu', [`m${layer}`], layer === count - 1 ? 'y' : `r${layer}`))
  }
  return modelBytes({
    inputs: [{ ...x, shape: ['N', width] }],
    outputs: [{ ...y, shape: ['N', width] }],
    nodes,
    constants,
  })
}

/** A graph that computes `out` from the outer `x` with weights of its own. */
function branch(seed: number): GraphSource {
  return {
    inputs: [],
    outputs: [{ ...y, name: 'out' }],
    nodes: [node('MatMul', ['x', `w${seed}`], 'out')],
    constants: { [`w${seed}`]: weights(seed, WIDTH, WIDTH) },
  }
}

const body: GraphSource = {
  inputs: [
    { name: 'turn', type: 'INT64', shape: [] },
    { name: 'before', type: 'BOOL', shape: [] },
    { ...x, name: 'state' },
  ],
  outputs: [
    { name: 'after', type: 'BOOL', shape: [] },
    { ...y, name: 'next' },
  ],
  nodes: [node('Identity', ['before'], 'after'), node('MatMul', ['state', 'w'], 'next')],
  constants: { w: weights(3, WIDTH, WIDTH) },
}

const bytesOf = (type: 'INT8' | 'UINT8', ...shape: readonly number[]): Constant => {
  const random = randomNumbers(5)
  const count = shape.reduce((product, size) => product * size, 1)
  const least = type === 'INT8' ? -127 : 0
  return { type, shape, values: Array.from({ length: count }, () => random.integer(least, 127)) }
}

const image: ValueSource = { name: 'x', type: 'FP32', shape: [1, 3, 12, 12] }
const features: ValueSource = { name: 'y', type: 'FP32', shape: [1, 32, 12, 12] }
const convolution = {
  nodes: [
    node('Conv', ['x', 'k1'], 'c1', { pads: [1, 1, 1, 1] }),
    node('Relu', ['c1'], 'r1'),
    node('Conv', ['r1', 'k2'], 'y', { pads: [1, 1, 1, 1] }),
  ],
  constants: { k1: weights(6, 32, 3, 3, 3), k2: weights(7, 32, 32, 3, 3) },
}

/** Each model by what is special about it. */
export const WEIGHT_MODELS: Readonly<Record<string, ModelSource>> = {
  'If with weights in both branches': {
    inputs: [x, { name: 'c', type: 'BOOL', shape: [] }],
    outputs: [y],
    nodes: [
      node('If', ['c'], 'o', {
        then_branch: { graph: branch(1) },
        else_branch: { graph: branch(2) },
      }),
      node('Relu', ['o'], 'y'),
    ],
  },
  'Loop with weights in its body': {
    inputs: [x],
    outputs: [y],
    nodes: [node('Loop', ['turns', 'yes', 'x'], 'y', { body: { graph: body } })],
    constants: {
      turns: { type: 'INT64', shape: [], values: [3] },
      yes: { type: 'BOOL', shape: [], values: [1] },
    },
  },
  'INT8 in QDQ form': {
    inputs: [x],
    outputs: [y],
    nodes: [
      node('QuantizeLinear', ['x', 's', 'z'], 'qx'),
      node('DequantizeLinear', ['qx', 's', 'z'], 'dx'),
      node('DequantizeLinear', ['w', 'sw', 'zw'], 'dw'),
      node('MatMul', ['dx', 'dw'], 'm'),
      node('QuantizeLinear', ['m', 's', 'z'], 'qm'),
      node('DequantizeLinear', ['qm', 's', 'z'], 'y'),
    ],
    constants: {
      s: floats([], [0.02]),
      z: { type: 'UINT8', shape: [], values: [128] },
      w: bytesOf('INT8', WIDTH, WIDTH),
      sw: floats([], [0.01]),
      zw: { type: 'INT8', shape: [], values: [0] },
    },
  },
  'INT8 with dynamic quantisation': {
    inputs: [x],
    outputs: [y],
    nodes: [
      node('DynamicQuantizeLinear', ['x'], ['q', 'qs', 'qz']),
      node('MatMulInteger', ['q', 'w', 'qz'], 'i'),
      node('Cast', ['i'], 'f', { to: FLOAT }),
      node('Mul', ['qs', 'ws'], 'scale'),
      node('Mul', ['f', 'scale'], 'y'),
    ],
    constants: { w: bytesOf('INT8', WIDTH, WIDTH), ws: floats([1], [0.01]) },
  },
  FP16: {
    inputs: [{ ...x, type: 'FP16' }],
    outputs: [{ ...y, type: 'FP16' }],
    nodes: [node('Cast', ['w'], 'hw', { to: 10 }), node('MatMul', ['x', 'hw'], 'y')],
    constants: { w: weights(4, WIDTH, WIDTH) },
  },
  MatMulNBits: {
    inputs: [x],
    outputs: [y],
    nodes: [
      node(
        'MatMulNBits',
        ['x', 'w', 's'],
        'y',
        { K: WIDTH, N: WIDTH, bits: 4, block_size: 32 },
        'com.microsoft',
      ),
    ],
    constants: { w: bytesOf('UINT8', WIDTH, WIDTH / 32, 16), s: weights(8, (WIDTH * WIDTH) / 32) },
  },
  'an embedding': {
    inputs: [{ name: 'ids', type: 'INT64', shape: ['N', 'L'] }],
    outputs: [{ name: 'y', type: 'FP32', shape: ['N', 'L', WIDTH] }],
    nodes: [node('Gather', ['table', 'ids'], 'g'), node('MatMul', ['g', 'w'], 'y')],
    constants: { table: weights(9, 100, WIDTH), w: weights(10, WIDTH, WIDTH) },
  },
  'maps and a sequence as outputs': {
    inputs: [x],
    outputs: [
      { name: 'maps', type: 'INT64', kind: 'maps' },
      { name: 'parts', type: 'FP32', kind: 'sequence' },
      y,
    ],
    nodes: [
      node('MatMul', ['x', 'w'], 'y'),
      node('Softmax', ['y'], 'scores', { axis: 1 }),
      node(
        'ZipMap',
        ['scores'],
        'maps',
        { classlabels_int64s: [...Array(WIDTH).keys()] },
        'ai.onnx.ml',
      ),
      node('SequenceConstruct', ['x', 'y'], 'parts'),
    ],
    constants: { w: weights(13, WIDTH, WIDTH) },
  },
  'a normalised result that is NaN for zeros': {
    inputs: [x],
    outputs: [y],
    nodes: [
      node('MatMul', ['x', 'w'], 'm'),
      node('ReduceSum', ['m', 'axes'], 'sum'),
      node('Div', ['m', 'sum'], 'y'),
    ],
    constants: { w: weights(11, WIDTH, WIDTH), axes: integers(1) },
  },
  'convolutions, which get another layout': {
    inputs: [image],
    outputs: [features],
    ...convolution,
  },
  'an old file that lists weights as inputs': {
    inputs: [
      image,
      { name: 'k1', type: 'FP32', shape: [32, 3, 3, 3] },
      { name: 'k2', type: 'FP32', shape: [32, 32, 3, 3] },
    ],
    outputs: [features],
    ...convolution,
    format: 3,
    version: 8,
  },
}

/** A model whose outputs are different in every run. */
export const RANDOM_MODEL: ModelSource = {
  inputs: [x],
  outputs: [y],
  nodes: [
    node('MatMul', ['x', 'w'], 'm'),
    node('RandomNormalLike', ['m'], 'r'),
    node('Add', ['m', 'r'], 'y'),
  ],
  constants: { w: weights(12, WIDTH, WIDTH) },
}

/** Writes a model whose weights lie in the file `weights.data` beside it. */
export function writeExternalModel(folder: string, seed: number): string {
  const numbers = Float32Array.from(randomWeights(seed, WIDTH * WIDTH))
  writeFileSync(path.join(folder, 'weights.data'), new Uint8Array(numbers.buffer))
  return writeModel(path.join(folder, 'external.onnx'), {
    inputs: [{ ...x, shape: [1, WIDTH] }],
    outputs: [{ ...y, shape: [1, WIDTH] }],
    nodes: [node('MatMul', ['x', 'w'], 'y')],
    constants: { w: { type: 'FP32', shape: [WIDTH, WIDTH], location: 'weights.data' } },
  })
}
