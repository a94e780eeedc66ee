/** Models with weights that are worth sharing, one for each way in which models store weights. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { floats, integers, modelBytes, node } from './onnx-builder.ts'
import type { Constant, GraphSource, ModelSource, ValueSource } from './onnx-builder.ts'
import { field, model, node as rawNode, tensorValue } from './onnx-files.ts'
import { randomNumbers } from './random.ts'

const WIDTH = 64
const FLOAT = 1

/** Random weights between -0.1 and 0.1. */
export function weights(seed: number, ...dims: readonly number[]): Constant {
  const random = randomNumbers(seed)
  const count = dims.reduce((product, size) => product * size, 1)
  return floats(
    dims,
    Array.from({ length: count }, () => (random.next() - 0.5) / 5),
  )
}

const x: ValueSource = { name: 'x', type: 'float', dimensions: ['N', WIDTH] }
const y: ValueSource = { name: 'y', type: 'float', dimensions: ['N', WIDTH] }

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
    inputs: [{ ...x, dimensions: ['N', width] }],
    outputs: [{ ...y, dimensions: ['N', width] }],
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
    { name: 'turn', type: 'int64', dimensions: [] },
    { name: 'before', type: 'bool', dimensions: [] },
    { ...x, name: 'state' },
  ],
  outputs: [
    { name: 'after', type: 'bool', dimensions: [] },
    { ...y, name: 'next' },
  ],
  nodes: [node('Identity', ['before'], 'after'), node('MatMul', ['state', 'w'], 'next')],
  constants: { w: weights(3, WIDTH, WIDTH) },
}

const bytesOf = (type: 'int8' | 'uint8', ...dims: readonly number[]): Constant => {
  const random = randomNumbers(5)
  const count = dims.reduce((product, size) => product * size, 1)
  const least = type === 'int8' ? -127 : 0
  return { type, dims, values: Array.from({ length: count }, () => random.integer(least, 127)) }
}

const image: ValueSource = { name: 'x', type: 'float', dimensions: [1, 3, 12, 12] }
const features: ValueSource = { name: 'y', type: 'float', dimensions: [1, 32, 12, 12] }
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
    inputs: [x, { name: 'c', type: 'bool', dimensions: [] }],
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
      turns: { type: 'int64', dims: [], values: [3] },
      yes: { type: 'bool', dims: [], values: [1] },
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
      z: { type: 'uint8', dims: [], values: [128] },
      w: bytesOf('int8', WIDTH, WIDTH),
      sw: floats([], [0.01]),
      zw: { type: 'int8', dims: [], values: [0] },
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
    constants: { w: bytesOf('int8', WIDTH, WIDTH), ws: floats([1], [0.01]) },
  },
  FP16: {
    inputs: [{ ...x, type: 'half' }],
    outputs: [{ ...y, type: 'half' }],
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
    constants: { w: bytesOf('uint8', WIDTH, WIDTH / 32, 16), s: weights(8, (WIDTH * WIDTH) / 32) },
  },
  'an embedding': {
    inputs: [{ name: 'ids', type: 'int64', dimensions: ['N', 'L'] }],
    outputs: [{ name: 'y', type: 'float', dimensions: ['N', 'L', WIDTH] }],
    nodes: [node('Gather', ['table', 'ids'], 'g'), node('MatMul', ['g', 'w'], 'y')],
    constants: { table: weights(9, 100, WIDTH), w: weights(10, WIDTH, WIDTH) },
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
      { name: 'k1', type: 'float', dimensions: [32, 3, 3, 3] },
      { name: 'k2', type: 'float', dimensions: [32, 32, 3, 3] },
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
  const entry = Buffer.concat([field(1, 'location'), field(2, 'weights.data')])
  const tensor = [
    field(1, WIDTH),
    field(1, WIDTH),
    field(2, FLOAT),
    field(8, 'w'),
    field(13, entry),
    field(14, 1),
  ]
  const graph = [
    field(1, rawNode('MatMul', ['x', 'w'], ['y'])),
    field(2, 'graph'),
    field(5, Buffer.concat(tensor)),
    field(11, tensorValue('x', FLOAT, [1, WIDTH])),
    field(12, tensorValue('y', FLOAT, [1, WIDTH])),
  ]
  const file = path.join(folder, 'external.onnx')
  writeFileSync(file, model(Buffer.concat(graph)))
  const { values } = weights(seed, WIDTH, WIDTH)
  writeFileSync(path.join(folder, 'weights.data'), new Uint8Array(Float32Array.from(values).buffer))
  return file
}
