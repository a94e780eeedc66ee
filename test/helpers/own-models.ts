/**
 * Tiny models that the tests write themselves, in the layout of a Triton repository:
 * `simple/1/model.onnx`. Names, inputs and outputs are those of the models in `../shared/models`,
 * so that a test can run with either.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { NUMBER_TYPES, echoed, paired, tensorExample } from './model-examples.ts'
import type { ModelExample } from './model-examples.ts'
import { floats, modelBytes, writeModelFolder } from './onnx-builder.ts'
import type { Dimension, ModelSource, ValueSource } from './onnx-builder.ts'
import { randomNumbers } from './random.ts'

type Datatype = Exclude<ValueSource['type'], number>

interface OwnModel {
  readonly graph: ModelSource
  /** Absent where onnxruntime refuses the model. */
  readonly example?: ModelExample
  /** Content of `config.pbtxt`, without the name. */
  readonly config?: string
  readonly labels?: string
}

const BF16 = 16
const CAST_TO = { INT32: 6, INT8: 3, BYTES: 8 }
const DIGIT_PIXELS = 784

/** Each model by its name. */
const MODELS: Readonly<Record<string, OwnModel>> = {
  ...Object.fromEntries(
    NUMBER_TYPES.map((type) => [`identity_${type.toLowerCase()}`, matrixEcho(type)]),
  ),
  identity_bf16: { graph: echo(BF16, ['d0', 'd1']), config: noBatch('BF16') },
  identity: textEcho(),
  simple_identity: textEcho(),
  raw_bytes1: { graph: echo('BYTES', [1]), example: echoed('BYTES', [1], ['427']) },
  raw_fp32: { graph: echo('FP32', ['n']), example: echoed('FP32', [3], [1, 2, 3]) },
  scalar_fp32: { graph: echo('FP32', []), example: echoed('FP32', [], [0.5]) },
  scores4: {
    graph: echo('FP32', ['b', 4]),
    example: echoed('FP32', [1, 4], [1, 5, 10, 4]),
    config: `max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" } ]`,
    labels: 'zero\none\ntwo\nthree\n',
  },
  nan_inf_output: specialNumbers(),
  simple: sumAndDifference('INT32', 'INT32', ['', 16]),
  simple_int8: sumAndDifference('INT8', 'INT8', ['', 16]),
  simple_string: sumAndDifference('BYTES', 'BYTES', ['', 16]),
  onnx_float32_int32_int32: sumAndDifference('FP32', 'INT32', ['', 16]),
  onnx_int32_int8_int8: sumAndDifference('INT32', 'INT8', ['var_0', 16]),
  onnx_nobatch_int32_int8_int8: sumAndDifference('INT32', 'INT8', [16]),
  add_with_initializer: addInitializer(),
}

let written: string | undefined

/** Folder of all own models, removed when the process exits. */
export function ownModels(): string {
  if (written !== undefined) return written
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-models-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  for (const [name, { graph, config, labels }] of Object.entries(MODELS)) {
    mkdirSync(path.join(folder, name))
    writeModelFolder(path.join(folder, name), '1', graph)
    if (config !== undefined) {
      writeFileSync(path.join(folder, name, 'config.pbtxt'), `name: "${name}"\n${config}\n`)
    }
    if (labels !== undefined) {
      for (const place of [name, path.join(name, '1')]) {
        writeFileSync(path.join(folder, place, 'labels.txt'), labels)
      }
    }
  }
  writeFileSync(path.join(folder, 'mlp.onnx'), modelBytes(linearGraph('x', 'y', ['N', 784])))
  const image = [1, 1, 28, 28]
  writeFileSync(
    path.join(folder, 'mnist.onnx'),
    modelBytes(linearGraph('Input3', 'Plus214_Output_0', image)),
  )
  written = folder
  return folder
}

/** Own models that onnxruntime loads, with an example of each. */
export function ownExamples(): [name: string, example: ModelExample][] {
  return Object.entries(MODELS).flatMap(([name, { example }]): [string, ModelExample][] =>
    example === undefined ? [] : [[name, example]],
  )
}

function echo(type: ValueSource['type'], shape: readonly Dimension[]): ModelSource {
  return {
    inputs: [{ name: 'INPUT0', type, shape }],
    outputs: [{ name: 'OUTPUT0', type, shape }],
    nodes: [{ operator: 'Identity', inputs: ['INPUT0'], outputs: ['OUTPUT0'] }],
  }
}

function noBatch(type: string): string {
  return ['input', 'output']
    .map(
      (kind) => `${kind} { name: "${kind.toUpperCase()}0" data_type: TYPE_${type} dims: [-1, -1] }`,
    )
    .join('\n')
}

function matrixEcho(type: Datatype): OwnModel {
  // FP16 stands as its bits: 1, -2.5, 65504 and the least number above 0.
  const data = { FP16: [15_360, 49_408, 31_743, 1], BOOL: [0, 1, 0, 1] }
  return {
    graph: echo(type, ['d0', 'd1']),
    example: echoed(type, [1, 4], type === 'FP16' || type === 'BOOL' ? data[type] : [0, 1, 2, 3]),
    config: noBatch(type),
  }
}

function textEcho(): OwnModel {
  return {
    graph: {
      inputs: [{ name: 'INPUT0', type: 'BYTES', shape: ['', 'var_0'] }],
      outputs: [{ name: 'OUTPUT0', type: 'BYTES', shape: ['', 'var_1'] }],
      nodes: [{ operator: 'Identity', inputs: ['INPUT0'], outputs: ['OUTPUT0'] }],
    },
    example: echoed('BYTES', [1, 4], ['0', '1', '2', '3']),
    config: `max_batch_size: 8
input { name: "INPUT0" data_type: TYPE_STRING dims: [-1] }
output { name: "OUTPUT0" data_type: TYPE_STRING dims: [-1] }`,
  }
}

/** As the models of Triton's examples: `OUTPUT0 = INPUT0 + INPUT1`, `OUTPUT1 = INPUT0 - INPUT1`. */
function sumAndDifference(
  input: 'INT32' | 'INT8' | 'FP32' | 'BYTES',
  output: 'INT32' | 'INT8' | 'BYTES',
  shape: readonly Dimension[],
): OwnModel {
  const named = (kind: string, type: Datatype): readonly ValueSource[] =>
    [0, 1].map((index) => ({ name: `${kind}${index}`, type, shape }))
  const cast = (
    from: string,
    to: string,
    type: keyof typeof CAST_TO,
  ): ModelSource['nodes'][number] => ({
    operator: 'Cast',
    inputs: [from],
    outputs: [to],
    attributes: { to: CAST_TO[type] },
  })
  const inner = ['a', 'b']
  const graph: ModelSource = {
    inputs: named('INPUT', input),
    outputs: named('OUTPUT', output),
    nodes: [
      ...inner.map((name, index) => cast(`INPUT${index}`, name, 'INT32')),
      { operator: 'Add', inputs: inner, outputs: ['sum'] },
      { operator: 'Sub', inputs: inner, outputs: ['difference'] },
      cast('sum', 'OUTPUT0', output),
      cast('difference', 'OUTPUT1', output),
    ],
  }
  const numbers = Array.from({ length: 16 }, (_, index) => index)
  const [lead] = shape
  const example = paired(input, output, lead === 16 ? [16] : [1, 16], numbers)
  return lead === '' ? { graph, example, config: 'max_batch_size: 8' } : { graph, example }
}

/** Whatever the input is, the output has what JSON has no numbers for. */
function specialNumbers(): OwnModel {
  const values = [Number.NaN, Infinity, -Infinity, 1, 2, 3]
  const graph: ModelSource = {
    inputs: [{ name: 'INPUT0', type: 'FP32', shape: [1] }],
    outputs: [{ name: 'OUTPUT0', type: 'FP32', shape: [6] }],
    nodes: [
      { operator: 'Mul', inputs: ['INPUT0', 'zero'], outputs: ['nothing'] },
      { operator: 'Add', inputs: ['nothing', 'values'], outputs: ['OUTPUT0'] },
    ],
    constants: { zero: floats([1], [0]), values: floats([6], values) },
  }
  const data = ['NaN', 'Infinity', '-Infinity', 1, 2, 3]
  const example: ModelExample = {
    inputs: { INPUT0: tensorExample('FP32', [1], [1]) },
    outputs: { OUTPUT0: tensorExample('FP32', [6], data) },
  }
  return { graph, example }
}

/** An initializer that is an input too, with the initializer as its default. */
function addInitializer(): OwnModel {
  const shape = [5, 5]
  const ones = Array<number>(25).fill(1)
  const graph: ModelSource = {
    inputs: ['INPUT', 'INITIALIZER'].map((name) => ({ name, type: 'FP32', shape })),
    outputs: [{ name: 'OUTPUT', type: 'FP32', shape }],
    nodes: [{ operator: 'Add', inputs: ['INPUT', 'INITIALIZER'], outputs: ['OUTPUT'] }],
    constants: { INITIALIZER: floats(shape, ones) },
  }
  const numbers = Array.from({ length: 25 }, (_, index) => index)
  const sums = numbers.map((value) => value + 1)
  return {
    graph,
    example: {
      inputs: { INPUT: tensorExample('FP32', shape, numbers) },
      outputs: { OUTPUT: tensorExample('FP32', shape, sums) },
    },
  }
}

/** Ten scores of 784 pixels, with weights that depend on each pixel. */
function linearGraph(input: string, output: string, shape: readonly Dimension[]): ModelSource {
  const random = randomNumbers(784)
  const weights = Array.from({ length: DIGIT_PIXELS * 10 }, () => random.next() / 50 - 0.01)
  return {
    inputs: [{ name: input, type: 'FP32', shape }],
    outputs: [{ name: output, type: 'FP32', shape: [shape[0] ?? 1, 10] }],
    nodes: [
      { operator: 'Flatten', inputs: [input], outputs: ['flat'], attributes: { axis: 1 } },
      { operator: 'MatMul', inputs: ['flat', 'weights'], outputs: [output] },
    ],
    constants: { weights: floats([DIGIT_PIXELS, 10], weights) },
  }
}
