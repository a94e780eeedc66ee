/** Writes small ONNX models as bytes, so that tests need no other files. */
import { writeFileSync } from 'node:fs'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

/** Element types as numbers of ONNX. */
export const ELEMENT = {
  float: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  half: 10,
  double: 11,
} as const
export type ElementType = keyof typeof ELEMENT

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

/** A dimension with a name is symbolic. */
export interface ValueSource {
  readonly name: string
  readonly type: ElementType
  readonly dimensions: readonly (number | string)[]
}

export interface Constant {
  readonly type: Exclude<ElementType, 'string' | 'half'>
  readonly dims: readonly number[]
  readonly values: readonly number[]
}

export interface GraphSource {
  readonly nodes: readonly NodeSource[]
  readonly inputs: readonly ValueSource[]
  readonly outputs: readonly ValueSource[]
  readonly constants?: Readonly<Record<string, Constant>>
}

export interface ModelSource extends GraphSource {
  /** Version of ONNX's own operator set; default 17. */
  readonly version?: number
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

export function floats(dims: readonly number[], values: readonly number[]): Constant {
  return { type: 'float', dims, values }
}

/** A list of 64-bit integers, the type of shapes and axes. */
export function integers(...values: readonly number[]): Constant {
  return { type: 'int64', dims: [values.length], values }
}

/** The bytes of an `.onnx` file. */
export function modelBytes(model: ModelSource): Buffer {
  const writer = new BinaryWriter()
  writer.tag(1, WireType.Varint).int64(8)
  message(writer, 7, (inner) => writeGraph(inner, model))
  const domains = new Set(['', ...model.nodes.map(({ domain = '' }) => domain)])
  for (const domain of domains) {
    message(writer, 8, (inner) => {
      text(inner, 1, domain)
      inner.tag(2, WireType.Varint).int64(versionOf(domain, model.version ?? 17))
    })
  }
  return Buffer.from(writer.finish())
}

export function writeModel(file: string, model: ModelSource): string {
  writeFileSync(file, modelBytes(model))
  return file
}

function versionOf(domain: string, own: number): number {
  if (domain === '') return own
  return domain === 'ai.onnx.ml' ? 3 : 1
}

function writeGraph(writer: BinaryWriter, graph: GraphSource): void {
  for (const one of graph.nodes) message(writer, 1, (inner) => writeNode(inner, one))
  text(writer, 2, 'graph')
  for (const [name, constant] of Object.entries(graph.constants ?? {})) {
    message(writer, 5, (inner) => writeConstant(inner, constant, name))
  }
  for (const input of graph.inputs) message(writer, 11, (inner) => writeValue(inner, input))
  for (const output of graph.outputs) message(writer, 12, (inner) => writeValue(inner, output))
}

function writeNode(writer: BinaryWriter, source: NodeSource): void {
  for (const input of source.inputs) text(writer, 1, input)
  for (const output of source.outputs) text(writer, 2, output)
  text(writer, 3, source.name ?? '')
  text(writer, 4, source.operator)
  for (const [name, value] of Object.entries(source.attributes ?? {})) {
    message(writer, 5, (inner) => writeAttribute(inner, name, value))
  }
  text(writer, 7, source.domain ?? '')
}

function writeAttribute(writer: BinaryWriter, name: string, value: Attribute): void {
  text(writer, 1, name)
  const type = (number: number): unknown => writer.tag(20, WireType.Varint).int32(number)
  if (typeof value === 'number') {
    writer.tag(3, WireType.Varint).int64(value)
    type(2)
  } else if (typeof value === 'string') {
    text(writer, 4, value)
    type(3)
  } else if ('float' in value) {
    writer.tag(2, WireType.Bit32).float(value.float)
    type(1)
  } else if ('floats' in value) {
    for (const one of value.floats) writer.tag(7, WireType.Bit32).float(one)
    type(6)
  } else if ('tensor' in value) {
    message(writer, 5, (inner) => writeConstant(inner, value.tensor, ''))
    type(4)
  } else if ('graph' in value) {
    message(writer, 6, (inner) => writeGraph(inner, value.graph))
    type(5)
  } else {
    for (const one of value) {
      if (typeof one === 'number') writer.tag(8, WireType.Varint).int64(one)
      else text(writer, 9, one)
    }
    type(typeof value[0] === 'string' ? 8 : 7)
  }
}

function writeConstant(writer: BinaryWriter, { type, dims, values }: Constant, name: string): void {
  for (const dim of dims) writer.tag(1, WireType.Varint).int64(dim)
  writer.tag(2, WireType.Varint).int32(ELEMENT[type])
  text(writer, 8, name)
  writer.tag(9, WireType.LengthDelimited).bytes(rawBytes(type, values))
}

function rawBytes(type: Constant['type'], values: readonly number[]): Uint8Array {
  const array = {
    float: () => Float32Array.from(values),
    double: () => Float64Array.from(values),
    int64: () => BigInt64Array.from(values.map(BigInt)),
    int32: () => Int32Array.from(values),
    int8: () => Int8Array.from(values),
    uint8: () => Uint8Array.from(values),
    bool: () => Uint8Array.from(values),
  }[type]()
  return new Uint8Array(array.buffer)
}

function writeValue(writer: BinaryWriter, { name, type, dimensions }: ValueSource): void {
  text(writer, 1, name)
  message(writer, 2, (valueType) => {
    message(valueType, 1, (tensor) => {
      tensor.tag(1, WireType.Varint).int32(ELEMENT[type])
      message(tensor, 2, (shape) => {
        for (const dimension of dimensions) {
          message(shape, 1, (inner) => {
            if (typeof dimension === 'number') inner.tag(1, WireType.Varint).int64(dimension)
            else text(inner, 2, dimension)
          })
        }
      })
    })
  })
}

function message(writer: BinaryWriter, field: number, write: (inner: BinaryWriter) => void): void {
  const inner = new BinaryWriter()
  write(inner)
  writer.tag(field, WireType.LengthDelimited).bytes(inner.finish())
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value)
}
