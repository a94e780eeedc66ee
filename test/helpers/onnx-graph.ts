/** Small ONNX models, written byte by byte: as much of protocol buffers as that takes. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DATATYPES } from '../../src/contract/datatypes.ts'
import type { Datatype } from '../../src/contract/datatypes.ts'

/** A size, the name of a symbol, or `''` for an open dimension without a name. */
export type Dimension = number | string

/** An input or output of a graph; without a shape it may have any. */
export interface GraphValue {
  readonly name: string
  /** A datatype, or a number of ONNX's `TensorProto.DataType`. */
  readonly type: Datatype | number
  readonly shape?: readonly Dimension[]
}

/** A node; attributes are integers or lists of them. */
export interface GraphNode {
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>
}

/** A constant of the graph. */
export interface GraphConstant {
  readonly name: string
  readonly type: Datatype
  readonly shape: readonly number[]
  readonly bytes: Buffer
}

export interface Graph {
  readonly inputs: readonly GraphValue[]
  readonly outputs: readonly GraphValue[]
  readonly nodes: readonly GraphNode[]
  readonly constants?: readonly GraphConstant[]
  /** Version of the operators; 17 where nothing is said. */
  readonly opset?: number
}

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
/** The format of the file since operators of version 21. */
const IR_VERSION = 10
const OPSET = 17
const INTEGER = 2
const INTEGERS = 7

/**
 * A graph that gives each input `x…` back as the output `y…`, in the datatypes and shapes given.
 */
export function identityGraph(
  ...inputs: readonly { readonly type: Datatype; readonly shape?: readonly Dimension[] }[]
): Graph {
  const name = (letter: string, index: number): string =>
    inputs.length === 1 ? letter : `${letter}${index}`
  return {
    inputs: inputs.map((input, index) => ({ ...input, name: name('x', index) })),
    outputs: inputs.map((input, index) => ({ ...input, name: name('y', index) })),
    nodes: inputs.map((_, index) => ({
      op: 'Identity',
      inputs: [name('x', index)],
      outputs: [name('y', index)],
    })),
  }
}

/** Writes a model into a new folder and returns the folder. */
export function writeModel(
  parent: string,
  name: string,
  graph: Graph,
  files: Readonly<Record<string, string>> = {},
): string {
  const folder = path.join(parent, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'model.onnx'), encodeModel(graph))
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(path.join(folder, file), content)
  }
  return folder
}

/** A serialised `ModelProto`. */
export function encodeModel({
  inputs,
  outputs,
  nodes,
  constants = [],
  opset = OPSET,
}: Graph): Buffer {
  const graph = Buffer.concat([
    ...nodes.map((node) => block(1, encodeNode(node))),
    text(2, 'graph'),
    ...constants.map((constant) => block(5, encodeConstant(constant))),
    ...inputs.map((value) => block(11, encodeValue(value))),
    ...outputs.map((value) => block(12, encodeValue(value))),
  ])
  const operators = Buffer.concat([text(1, ''), number(2, opset)])
  return Buffer.concat([number(1, IR_VERSION), block(8, operators), block(7, graph)])
}

function encodeNode({ op, inputs, outputs, attributes = {} }: GraphNode): Buffer {
  return Buffer.concat([
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => block(5, encodeAttribute(name, value))),
  ])
}

function encodeAttribute(name: string, value: number | readonly number[]): Buffer {
  return typeof value === 'number'
    ? Buffer.concat([text(1, name), number(3, value), number(20, INTEGER)])
    : Buffer.concat([text(1, name), ...value.map((one) => number(8, one)), number(20, INTEGERS)])
}

function encodeConstant({ name, type, shape, bytes }: GraphConstant): Buffer {
  return Buffer.concat([
    ...shape.map((size) => number(1, size)),
    number(2, ELEMENT_TYPES[type]),
    text(8, name),
    block(9, bytes),
  ])
}

function encodeValue({ name, type, shape }: GraphValue): Buffer {
  const elements = DATATYPES.some((datatype) => datatype === type)
    ? ELEMENT_TYPES[type as Datatype]
    : Number(type)
  const dimensions = shape?.map((size) =>
    block(1, typeof size === 'number' ? number(1, size) : size === '' ? NOTHING : text(2, size)),
  )
  const tensor = Buffer.concat([
    number(1, elements),
    ...(dimensions === undefined ? [] : [block(2, Buffer.concat(dimensions))]),
  ])
  return Buffer.concat([text(1, name), block(2, block(1, tensor))])
}

const NOTHING = Buffer.alloc(0)

function number(field: number, value: number): Buffer {
  return Buffer.concat([varint(field << 3), varint(value)])
}

function text(field: number, value: string): Buffer {
  return block(field, Buffer.from(value))
}

function block(field: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0))
    rest >>= 7n
  } while (rest > 0n)
  return Buffer.from(bytes)
}
