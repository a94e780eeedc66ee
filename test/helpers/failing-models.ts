/** Own models that fail: some when they are loaded, some only on certain inputs. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import {
  foreignNode,
  modelOfConstant,
  modelOfExternal,
  modelOfNodes,
  recursiveModel,
} from './hostile-onnx.ts'
import { modelBytes } from './onnx-builder.ts'
import type { ModelSource, ValueSource } from './onnx-builder.ts'
import { field, node } from './onnx-fields.ts'

const X: ValueSource = { name: 'x', type: 'FP32', shape: ['N', 4] }
const Y: ValueSource = { name: 'y', type: 'FP32' }
const integers = (name: string, ...shape: readonly (number | string)[]): ValueSource => ({
  name,
  type: 'INT64',
  shape,
})

/** One operator on inputs that a client may choose badly. */
function operator(op: string, inputs: readonly ValueSource[], attributes = {}): ModelSource {
  const names = inputs.map(({ name }) => name)
  return {
    inputs,
    outputs: [Y],
    nodes: [{ operator: op, inputs: names, outputs: ['y'], attributes }],
  }
}

function divided(op: string): ModelSource {
  const value = (name: string): ValueSource => ({ name, type: 'INT32', shape: ['N'] })
  return { ...operator(op, [value('a'), value('b')]), outputs: [value('y')] }
}

/** They can be loaded. */
const RISKY: Readonly<Record<string, ModelSource>> = {
  gather_oob: operator('Gather', [X, integers('i', 'k')], { axis: 0 }),
  scatter_oob: operator('ScatterND', [
    X,
    integers('i', 'k', 2),
    { name: 'u', type: 'FP32', shape: ['k'] },
  ]),
  reshape_in: operator('Reshape', [X, integers('s', 'k')]),
  tile_input: operator('Tile', [X, integers('s', 2)]),
  shape_input: {
    inputs: [integers('s', 1)],
    outputs: [Y],
    nodes: [
      { operator: 'ConstantOfShape', inputs: ['s'], outputs: ['c'] },
      { operator: 'ReduceSum', inputs: ['c'], outputs: ['y'], attributes: { keepdims: 0 } },
    ],
  },
  huge_dim_input: operator('Relu', [{ name: 'x', type: 'FP32', shape: [2 ** 62, 2 ** 62] }]),
  div_int: divided('Div'),
  mod_int: divided('Mod'),
  no_nodes: { inputs: [X], outputs: [X], nodes: [] },
}

/** Nobody can load them. */
const BROKEN: Readonly<Record<string, Buffer>> = {
  empty_file: Buffer.alloc(0),
  html: Buffer.from('<!doctype html><title>404</title>'),
  zip: Buffer.from('504b0304140000000800', 'hex'),
  random: Buffer.from(Array.from({ length: 500 }, (_, index) => (index * 2_654_435_761) >>> 24)),
  cut: modelBytes(operator('Relu', [X])).subarray(0, 60),
  empty_graph: modelBytes({ inputs: [], outputs: [], nodes: [] }),
  twice: modelOfNodes([node('Relu', ['x'], ['y']), node('Abs', ['x'], ['y'])]),
  missing_input: modelOfNodes([node('Relu', ['nope'], ['y'])]),
  unknown_operator: modelOfNodes([node('NoSuchOperator', ['x'], ['y'])]),
  unknown_domain: modelOfNodes([foreignNode('evil.example', 'Foo')]),
  recursive: recursiveModel(),
  operators_9999: modelBytes({ ...operator('Relu', [X]), version: 9999 }),
  negative_size: modelOfConstant(field(1, -4), field(2, 1), field(9, Buffer.alloc(16))),
  unknown_type: modelOfConstant(field(1, 1), field(2, 12_345), field(9, Buffer.alloc(16))),
  absolute: modelOfExternal({ location: '/etc/passwd', offset: '0', length: '4' }),
  outside: modelOfExternal({ location: '../weights.bin' }),
  absent: modelOfExternal({ location: 'weights.bin' }),
}

/** Path of a model that can be loaded and fails on some inputs, written into `folder`. */
export function riskyModel(folder: string, name: string): string {
  const graph = RISKY[name]
  if (graph === undefined) throw new Error(`there is no risky model ${name}`)
  return write(folder, name, modelBytes(graph))
}

export const riskyModels = Object.keys(RISKY)

/** Paths of models that cannot be loaded, written into `folder`. */
export function brokenModels(folder: string): string[] {
  return Object.entries(BROKEN).map(([name, bytes]) => write(folder, name, bytes))
}

function write(folder: string, name: string, bytes: Buffer): string {
  const file = path.join(folder, `${name}.onnx`)
  writeFileSync(file, bytes)
  return file
}
