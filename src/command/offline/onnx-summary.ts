/** Reads an ONNX file without its weights: producer, operator sets, operators, tensors. */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { ServerError } from '../../errors.ts'
import { ProtoError, ProtoFile, numberIn } from '../../formats/proto-file.ts'
import type { ProtoField, Range } from '../../formats/proto-file.ts'

const MAX_TEXT_BYTES = 64 * 1024
const MAX_NESTED_GRAPHS = 32

const MODEL = { irVersion: 1, producer: 2, producerVersion: 3, graph: 7, operatorSet: 8 } as const
const OPERATOR_SET = { domain: 1, version: 2 } as const
const GRAPH = { node: 1, constant: 5, input: 11, output: 12 } as const
const NODE = { operator: 4, attribute: 5, domain: 7 } as const
const ATTRIBUTE = { graph: 6, graphs: 11 } as const
const TENSOR = { dimension: 1, name: 8 } as const
const VALUE = { name: 1, type: 2 } as const
const TYPE = { tensor: 1 } as const
const TENSOR_TYPE = { element: 1, shape: 2 } as const
const DIMENSION = { of: 1, value: 1, name: 2 } as const

/** Names of the Open Inference Protocol, by ONNX's number of the type. */
const DATATYPES = [
  '',
  'FP32',
  'UINT8',
  'INT8',
  'UINT16',
  'INT16',
  'INT32',
  'INT64',
  'BYTES',
  'BOOL',
  'FP16',
  'FP64',
  'UINT32',
  'UINT64',
  'COMPLEX64',
  'COMPLEX128',
  'BF16',
]

/** An input or output as the file declares it; -1 stands for a symbolic dimension. */
export interface DeclaredTensor {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly dimensions: readonly (string | null)[]
  readonly anyShape: boolean
}

/** Content of an ONNX file without the weights. */
export interface OnnxSummary {
  readonly irVersion: number
  readonly producer: string
  /** Version by domain; the domain of ONNX itself is `ai.onnx`. */
  readonly operatorSets: Readonly<Record<string, number>>
  /** Number of nodes by operator, with those of nested graphs, most frequent first. */
  readonly operators: readonly (readonly [operator: string, count: number])[]
  /** Number of values in all weights. */
  readonly parameters: number
  readonly inputs: readonly DeclaredTensor[]
  readonly outputs: readonly DeclaredTensor[]
}

/** @throws ServerError `InvalidModelException` if the file is not a readable ONNX file. */
export function summarize(path: string): OnnxSummary {
  const descriptor = openSync(path, 'r')
  try {
    return new Summary(new ProtoFile(descriptor, fstatSync(descriptor).size)).read()
  } catch (error) {
    if (!(error instanceof ProtoError)) throw error
    const text = `The file is not a valid ONNX model: ${error.message}.`
    throw new ServerError('InvalidModelException', text, { cause: error })
  } finally {
    closeSync(descriptor)
  }
}

class Summary {
  readonly #file: ProtoFile
  readonly #operators = new Map<string, number>()
  readonly #constants = new Set<string>()
  readonly #inputs: DeclaredTensor[] = []
  readonly #outputs: DeclaredTensor[] = []
  #parameters = 0

  constructor(file: ProtoFile) {
    this.#file = file
  }

  read(): OnnxSummary {
    const operatorSets: Record<string, number> = {}
    const producer: string[] = []
    let irVersion = 0
    for (const field of this.#file.fields(this.#file.whole)) {
      if (field.number === MODEL.irVersion) irVersion = numberIn(field)
      else if (field.number === MODEL.producer) producer[0] = this.#text(field)
      else if (field.number === MODEL.producerVersion) producer[1] = this.#text(field)
      else if (field.number === MODEL.graph) this.#graph(field, 0)
      else if (field.number === MODEL.operatorSet) {
        const [domain, version] = this.#operatorSet(field)
        operatorSets[domain || 'ai.onnx'] = version
      }
    }
    if (this.#outputs.length === 0) throw new ProtoError('it has no outputs')
    return {
      irVersion,
      producer: producer.filter(Boolean).join(' '),
      operatorSets,
      operators: [...this.#operators].toSorted(([a, m], [b, n]) => n - m || a.localeCompare(b)),
      parameters: this.#parameters,
      // Old files list the weights as inputs too.
      inputs: this.#inputs.filter(({ name }) => !this.#constants.has(name)),
      outputs: this.#outputs,
    }
  }

  #operatorSet(range: Range): [domain: string, version: number] {
    let [domain, version] = ['', 0]
    for (const field of this.#file.fields(range)) {
      if (field.number === OPERATOR_SET.domain) domain = this.#text(field)
      if (field.number === OPERATOR_SET.version) version = numberIn(field)
    }
    return [domain, version]
  }

  #graph(range: Range, depth: number): void {
    if (depth > MAX_NESTED_GRAPHS) throw new ProtoError('its graphs are nested too deep')
    for (const field of this.#file.fields(range)) {
      if (field.number === GRAPH.node) this.#node(field, depth)
      else if (field.number === GRAPH.constant) this.#constant(field)
      else if (depth === 0 && field.number === GRAPH.input) this.#inputs.push(this.#value(field))
      else if (depth === 0 && field.number === GRAPH.output) this.#outputs.push(this.#value(field))
    }
  }

  #node(range: Range, depth: number): void {
    let [operator, domain] = ['', '']
    for (const field of this.#file.fields(range)) {
      if (field.number === NODE.operator) operator = this.#text(field)
      else if (field.number === NODE.domain) domain = this.#text(field)
      else if (field.number === NODE.attribute) {
        for (const part of this.#file.fields(field)) {
          const isGraph = part.number === ATTRIBUTE.graph || part.number === ATTRIBUTE.graphs
          if (isGraph) this.#graph(part, depth + 1)
        }
      }
    }
    const name = domain === '' || domain === 'ai.onnx' ? operator : `${domain}.${operator}`
    this.#operators.set(name, (this.#operators.get(name) ?? 0) + 1)
  }

  #constant(range: Range): void {
    let count = 1
    for (const field of this.#file.fields(range)) {
      if (field.number === TENSOR.name) this.#constants.add(this.#text(field))
      if (field.number === TENSOR.dimension) for (const size of this.#integers(field)) count *= size
    }
    this.#parameters += count
  }

  #value(range: Range): DeclaredTensor {
    let name = ''
    let type: Omit<DeclaredTensor, 'name'> = {
      datatype: 'not a tensor',
      shape: [],
      dimensions: [],
      anyShape: true,
    }
    for (const field of this.#file.fields(range)) {
      if (field.number === VALUE.name) name = this.#text(field)
      if (field.number !== VALUE.type) continue
      for (const part of this.#file.fields(field))
        if (part.number === TYPE.tensor) type = this.#tensorType(part)
    }
    return { name, ...type }
  }

  #tensorType(range: Range): Omit<DeclaredTensor, 'name'> {
    let datatype = ''
    const shape: number[] = []
    const dimensions: (string | null)[] = []
    let anyShape = true
    for (const field of this.#file.fields(range)) {
      if (field.number === TENSOR_TYPE.element) {
        const number = numberIn(field)
        datatype = DATATYPES[number] ?? `type ${number}`
      }
      if (field.number !== TENSOR_TYPE.shape) continue
      anyShape = false
      for (const part of this.#file.fields(field)) {
        if (part.number !== DIMENSION.of) continue
        let [size, symbol] = [-1, '']
        for (const detail of this.#file.fields(part)) {
          if (detail.number === DIMENSION.value) size = numberIn(detail)
          if (detail.number === DIMENSION.name) symbol = this.#text(detail)
        }
        shape.push(size)
        dimensions.push(symbol === '' ? null : symbol)
      }
    }
    return { datatype, shape, dimensions, anyShape }
  }

  /** A repeated number is written packed or one by one. */
  #integers(field: ProtoField): number[] {
    if (field.start === field.end) return [field.value]
    const numbers: number[] = []
    let [value, factor] = [0, 1]
    for (const byte of this.#file.bytes(field, MAX_TEXT_BYTES)) {
      value += (byte & 127) * factor
      factor *= 128
      if (byte >= 128) continue
      numbers.push(value)
      value = 0
      factor = 1
    }
    return numbers
  }

  #text(range: Range): string {
    return this.#file.bytes(range, MAX_TEXT_BYTES).toString('utf8')
  }
}
