/**
 * Reads the graph of an ONNX file: its operators and the shapes of its weights, but not the
 * weights.
 */
import { WireType } from '@bufbuild/protobuf/wire'
import { ProtoError, numberIn } from '../../../../formats/proto-file.ts'
import type { ProtoField, ProtoFile, Range } from '../../../../formats/proto-file.ts'
import { domainName } from './graph.ts'
import type { AttributeValue, Graph, GraphNode, StoredTensor } from './graph.ts'
import { readIntegers, readTensor } from './tensor-reader.ts'

const MAX_TEXT_BYTES = 64 * 1024
/** Longer lists are the trees and words of classical models, which no rule reads. */
const MAX_LIST = 4096

const MODEL = { graph: 7, operatorSet: 8, function: 25 } as const
const OPERATOR_SET = { domain: 1, version: 2 } as const
const FUNCTION = { name: 1, domain: 10 } as const
const GRAPH = { node: 1, constant: 5, input: 11, output: 12, sparseConstant: 15 } as const
const SPARSE = { values: 1 } as const
const VALUE_INFO = { name: 1 } as const
const NODE = { input: 1, output: 2, name: 3, operator: 4, attribute: 5, domain: 7 } as const
const ATTRIBUTE = {
  name: 1,
  float: 2,
  integer: 3,
  text: 4,
  tensor: 5,
  graph: 6,
  floats: 7,
  integers: 8,
  texts: 9,
  tensors: 10,
  graphs: 11,
  type: 14,
  types: 15,
  reference: 21,
  sparseTensor: 22,
  sparseTensors: 23,
} as const

/** The parts of a graph while they are collected. */
interface Parts {
  readonly nodes: GraphNode[]
  readonly constants: Map<string, StoredTensor>
  readonly inputs: string[]
  readonly outputs: string[]
}

/** @throws ProtoError */
export function readGraph(file: ProtoFile): Graph {
  const operatorSets = new Map<string, number>()
  const functions = new Set<string>()
  const parts: Parts = { nodes: [], constants: new Map(), inputs: [], outputs: [] }
  for (const field of file.fields(file.whole)) {
    if (field.number === MODEL.graph) readParts(file, field, parts)
    else if (field.number === MODEL.function) functions.add(readFunctionName(file, field))
    else if (field.number === MODEL.operatorSet) {
      const { domain, version } = readOperatorSet(file, field)
      if ((operatorSets.get(domain) ?? version) !== version) {
        throw new ProtoError('the file names two versions of one operator set')
      }
      operatorSets.set(domain, version)
    }
  }
  return { operatorSets, functions, ...parts }
}

function readParts(file: ProtoFile, range: Range, parts: Parts): void {
  for (const field of file.fields(range)) {
    if (field.number === GRAPH.node) parts.nodes.push(readNode(file, field))
    else if (field.number === GRAPH.input) parts.inputs.push(readValueName(file, field))
    else if (field.number === GRAPH.output) parts.outputs.push(readValueName(file, field))
    else if (field.number === GRAPH.constant) {
      const { name, tensor } = readTensor(file, field)
      parts.constants.set(name, tensor)
    } else if (field.number === GRAPH.sparseConstant) {
      for (const part of file.fields(field)) {
        if (part.number !== SPARSE.values) continue
        const { name } = readTensor(file, part)
        parts.constants.set(name, { dims: undefined, values: undefined })
      }
    }
  }
}

function readNode(file: ProtoFile, range: Range): GraphNode {
  const inputs: string[] = []
  const outputs: string[] = []
  const attributes = new Map<string, AttributeValue>()
  let [name, operator, domain] = ['', '', '']
  for (const field of file.fields(range)) {
    switch (field.number) {
      case NODE.input:
        inputs.push(readText(file, field))
        break
      case NODE.output:
        outputs.push(readText(file, field))
        break
      case NODE.name:
        name = readText(file, field)
        break
      case NODE.operator:
        operator = readText(file, field)
        break
      case NODE.domain:
        domain = domainName(readText(file, field))
        break
      case NODE.attribute: {
        const attribute = readAttribute(file, field)
        attributes.set(attribute.name, attribute.value)
        break
      }
      default:
    }
  }
  const place = { start: range.start, end: range.end }
  return { place, name, operator, domain, inputs, outputs, attributes }
}

function readAttribute(file: ProtoFile, range: Range): { name: string; value: AttributeValue } {
  const numbers: number[] = []
  let texts = 0
  let name = ''
  let value: AttributeValue | undefined
  for (const field of file.fields(range)) {
    switch (field.number) {
      case ATTRIBUTE.name:
        name = readText(file, field)
        break
      case ATTRIBUTE.float:
        value = { kind: 'number', value: readFloat(file, field) }
        break
      case ATTRIBUTE.integer:
        value = { kind: 'number', value: numberIn(field) }
        break
      case ATTRIBUTE.text:
        value =
          field.end - field.start > MAX_TEXT_BYTES
            ? { kind: 'unread' }
            : { kind: 'text', text: readText(file, field) }
        break
      case ATTRIBUTE.tensor:
        value = { kind: 'tensor', tensor: readTensor(file, field).tensor }
        break
      case ATTRIBUTE.integers:
        numbers.push(...readSome(file, field))
        break
      case ATTRIBUTE.floats:
        numbers.push(...readFloats(file, field))
        break
      case ATTRIBUTE.texts:
        texts++
        break
      case ATTRIBUTE.graph:
      case ATTRIBUTE.graphs:
        value = { kind: 'graph' }
        break
      case ATTRIBUTE.tensors:
      case ATTRIBUTE.type:
      case ATTRIBUTE.types:
      case ATTRIBUTE.reference:
      case ATTRIBUTE.sparseTensor:
      case ATTRIBUTE.sparseTensors:
        value = { kind: 'unread' }
        break
      default:
    }
    // The attribute is too long, so the rest of it is not read.
    if (numbers.length + texts > MAX_LIST) return { name, value: { kind: 'unread' } }
  }
  if (value !== undefined) return { name, value }
  if (texts > 0) return { name, value: { kind: 'texts', count: texts } }
  return { name, value: { kind: 'numbers', values: numbers } }
}

/** Packed integers. A list that is too long gives one element more than the limit. */
function readSome(file: ProtoFile, field: ProtoField): readonly number[] {
  const isLong = field.wire === WireType.LengthDelimited && field.end - field.start > MAX_LIST
  return isLong
    ? Array.from({ length: MAX_LIST + 1 }, () => 0)
    : readIntegers(file, field, MAX_LIST)
}

function readFloat(file: ProtoFile, field: ProtoField): number {
  if (field.wire !== WireType.Bit32) throw new ProtoError('the file is damaged')
  return file.bytes(field, 4).readFloatLE()
}

function readFloats(file: ProtoFile, field: ProtoField): readonly number[] {
  const count = (field.end - field.start) / 4
  if (count > MAX_LIST) return Array.from({ length: MAX_LIST + 1 }, () => 0)
  const bytes = file.bytes(field, MAX_LIST * 4)
  return Array.from({ length: Math.floor(count) }, (_, index) => bytes.readFloatLE(index * 4))
}

function readOperatorSet(file: ProtoFile, range: Range): { domain: string; version: number } {
  let [domain, version] = ['', 0]
  for (const field of file.fields(range)) {
    if (field.number === OPERATOR_SET.domain) domain = domainName(readText(file, field))
    else if (field.number === OPERATOR_SET.version) version = numberIn(field)
  }
  return { domain, version }
}

function readFunctionName(file: ProtoFile, range: Range): string {
  let [name, domain] = ['', '']
  for (const field of file.fields(range)) {
    if (field.number === FUNCTION.name) name = readText(file, field)
    else if (field.number === FUNCTION.domain) domain = domainName(readText(file, field))
  }
  return `${domain}:${name}`
}

function readValueName(file: ProtoFile, range: Range): string {
  let name = ''
  for (const field of file.fields(range)) {
    if (field.number === VALUE_INFO.name) name = readText(file, field)
  }
  return name
}

function readText(file: ProtoFile, field: ProtoField): string {
  if (field.wire !== WireType.LengthDelimited) throw new ProtoError('the file is damaged')
  return file.bytes(field, MAX_TEXT_BYTES).toString('utf8')
}
