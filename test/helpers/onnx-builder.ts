/** Builds small ONNX models from a description, so that tests need no other files. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DATATYPES } from '../../src/contract/datatypes.ts'
import type { Datatype } from '../../src/contract/datatypes.ts'
import {
  field,
  floatField,
  mapsValue,
  model as encodeModel,
  node as encodeNode,
  sequenceValue,
  tensorValue,
} from './onnx-fields.ts'

/** Datatypes as numbers of ONNX's `TensorProto.DataType`. */
const ELEMENT_TYPES: Readonly<Record<Datatype, number>> = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
}
const EXTERNAL = 1

/** An attribute. Integers and texts are recognised by their type; a float is `{ float: 1 }`. */
export type Attribute =
  | number
  | string
  | readonly number[]
  | readonly string[]
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly tensor: Constant }
  | { readonly graph: GraphSource }

export interface NodeSource {
  readonly operator: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, Attribute>>
  readonly domain?: string
  readonly name?: string
}

/** A size, a symbolic name, or `''` for a dynamic dimension without a name. */
export type Dimension = number | string

/** An input or output of a graph. Without a shape it accepts any. */
export interface ValueSource {
  readonly name: string
  /** A datatype, or a number of ONNX's `TensorProto.DataType`. */
  readonly type: Datatype | number
  readonly shape?: readonly Dimension[]
  /** `maps`: a sequence of maps whose keys have the type; `sequence`: one of float tensors. */
  readonly kind?: 'maps' | 'sequence'
}

/** The elements are numbers, or bytes, or in the file `location`. */
export type Constant = { readonly type: Datatype; readonly shape: readonly number[] } & (
  | { readonly values: readonly number[] }
  | { readonly bytes: Buffer }
  | { readonly location: string }
)

export interface GraphSource {
  readonly nodes: readonly NodeSource[]
  readonly inputs: readonly ValueSource[]
  readonly outputs: readonly ValueSource[]
  readonly constants?: Readonly<Record<string, Constant>>
  readonly description?: string
}

export interface ModelSource extends GraphSource {
  /** Version of ONNX's own operator set; default 17. */
  readonly version?: number
  /** Version of the file format; default 8. */
  readonly format?: number
}

/** Short form of a node: `node('Add', ['a', 'b'], 'c')`. */
export function node(
  operator: string,
  inputs: readonly string[],
  outputs: string | readonly string[],
  attributes: Readonly<Record<string, Attribute>> = {},
  domain = '',
): NodeSource {
  const names = typeof outputs === 'string' ? [outputs] : outputs
  return { operator, inputs, outputs: names, attributes, domain, name: `${operator}_${names[0]}` }
}

export function floats(shape: readonly number[], values: readonly number[]): Constant {
  return { type: 'FP32', shape, values }
}

/** A list of 64-bit integers, the type of shapes and axes. */
export function integers(...values: readonly number[]): Constant {
  return { type: 'INT64', shape: [values.length], values }
}

/** A graph that returns each input `x…` as the output `y…`, with given datatypes and shapes. */
export function identityGraph(
  ...inputs: readonly { readonly type: Datatype; readonly shape?: readonly Dimension[] }[]
): ModelSource {
  const name = (letter: string, index: number): string =>
    inputs.length === 1 ? letter : `${letter}${index}`
  return {
    inputs: inputs.map((input, index) => ({ ...input, name: name('x', index) })),
    outputs: inputs.map((input, index) => ({ ...input, name: name('y', index) })),
    nodes: inputs.map((_, index) => node('Identity', [name('x', index)], name('y', index))),
  }
}

/** The bytes of an `.onnx` file. */
export function modelBytes(source: ModelSource): Buffer {
  const domains = [...new Set(source.nodes.map(({ domain = '' }) => domain))]
  const operators = domains
    .filter((domain) => domain !== '')
    .map((domain) =>
      field(8, Buffer.concat([field(1, domain), field(2, domain === 'ai.onnx.ml' ? 3 : 1)])),
    )
  return encodeModel(graphMessage(source), Buffer.concat(operators), source.version, source.format)
}

export function writeModel(file: string, source: ModelSource): string {
  writeFileSync(file, modelBytes(source))
  return file
}

/** Writes a model and other files into a new folder and returns the folder. */
export function writeModelFolder(
  parent: string,
  name: string,
  source: ModelSource,
  files: Readonly<Record<string, string>> = {},
): string {
  const folder = path.join(parent, name)
  mkdirSync(folder, { recursive: true })
  writeModel(path.join(folder, 'model.onnx'), source)
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(path.join(folder, file), content)
  }
  return folder
}

function graphMessage(graph: GraphSource): Buffer {
  return Buffer.concat([
    ...graph.nodes.map((one) => field(1, nodeMessage(one))),
    field(2, 'graph'),
    ...Object.entries(graph.constants ?? {}).map(([name, constant]) =>
      field(5, constantMessage(constant, name)),
    ),
    ...(graph.description === undefined ? [] : [field(10, graph.description)]),
    ...graph.inputs.map((value) => field(11, valueMessage(value))),
    ...graph.outputs.map((value) => field(12, valueMessage(value))),
  ])
}

function nodeMessage(source: NodeSource): Buffer {
  const attributes = Object.entries(source.attributes ?? {}).map(([name, value]) =>
    field(5, attributeMessage(name, value)),
  )
  const more = [field(3, source.name ?? ''), ...attributes, field(7, source.domain ?? '')]
  return encodeNode(source.operator, source.inputs, source.outputs, Buffer.concat(more))
}

function attributeMessage(name: string, value: Attribute): Buffer {
  const typed = (type: number, ...fields: readonly Buffer[]): Buffer =>
    Buffer.concat([field(1, name), ...fields, field(20, type)])
  if (typeof value === 'number') return typed(2, field(3, value))
  if (typeof value === 'string') return typed(3, field(4, value))
  if ('float' in value) return typed(1, floatField(2, value.float))
  if ('floats' in value) return typed(6, ...value.floats.map((one) => floatField(7, one)))
  if ('tensor' in value) return typed(4, field(5, constantMessage(value.tensor, '')))
  if ('graph' in value) return typed(5, field(6, graphMessage(value.graph)))
  const isTexts = typeof value[0] === 'string'
  return typed(isTexts ? 8 : 7, ...value.map((one) => field(isTexts ? 9 : 8, one)))
}

function constantMessage(constant: Constant, name: string): Buffer {
  return Buffer.concat([
    ...constant.shape.map((size) => field(1, size)),
    field(2, ELEMENT_TYPES[constant.type]),
    field(8, name),
    dataFields(constant),
  ])
}

function dataFields(constant: Constant): Buffer {
  if ('bytes' in constant) return field(9, constant.bytes)
  if ('values' in constant) return field(9, rawBytes(constant.type, constant.values))
  const entry = Buffer.concat([field(1, 'location'), field(2, constant.location)])
  return Buffer.concat([field(13, entry), field(14, EXTERNAL)])
}

function rawBytes(type: Datatype, values: readonly number[]): Buffer {
  const arrays: Partial<Record<Datatype, () => ArrayBufferView>> = {
    FP32: () => Float32Array.from(values),
    FP64: () => Float64Array.from(values),
    INT64: () => BigInt64Array.from(values.map(BigInt)),
    INT32: () => Int32Array.from(values),
    INT8: () => Int8Array.from(values),
    UINT8: () => Uint8Array.from(values),
    BOOL: () => Uint8Array.from(values),
  }
  const array = arrays[type]?.()
  if (array === undefined) throw new Error(`constants of ${type} need bytes`)
  return Buffer.from(array.buffer)
}

function valueMessage({ name, type, shape, kind }: ValueSource): Buffer {
  const datatype = DATATYPES.find((one) => one === type)
  const number = datatype === undefined ? Number(type) : ELEMENT_TYPES[datatype]
  if (kind === 'sequence') return sequenceValue(name)
  return kind === 'maps' ? mapsValue(name, number) : tensorValue(name, number, shape)
}
