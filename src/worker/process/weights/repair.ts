/**
 * Repairs two faults in a model file that onnxruntime 1.30 has written:
 *
 * - Files of ONNX's older versions list weights as inputs too. When onnxruntime packs such a
 *   weight, it removes the weight and keeps the input, which every request would then have to
 *   bring.
 * - It writes the weights of subgraphs (`If`, `Loop`) twice, in the file and outside, and rejects
 *   such a file.
 */
import type { ProtoField, ProtoFile, Range } from '../../../formats/proto-file.ts'
import { assemble, editMessage } from '../onnx/graph/message-edit.ts'
import type { Change } from '../onnx/graph/message-edit.ts'

/** Field numbers of `ModelProto` and `GraphProto`. */
const GRAPH = 7
const NODE = 1
const INITIALIZER = 5
const INPUT = 11
/** Field numbers of `NodeProto` and `AttributeProto` on the path to subgraphs. */
const ATTRIBUTE = 5
const SUBGRAPHS: ReadonlySet<number> = new Set([6, 11])
/** Field numbers of `ValueInfoProto` and `TensorProto`. */
const VALUE_NAME = 1
const TENSOR_NAME = 8
const DATA_LOCATION = 14
/** Deeper graphs are left as they are; onnxruntime then decides. */
const MAX_DEPTH = 50
const MAX_NAME_BYTES = 64 * 1024

/**
 * Returns the model without inputs that have neither a name of `kept` nor a weight, and without
 * second copies of weights; `undefined` if it has none of those.
 * @throws ProtoError if the file is not a model.
 */
export function repairModel(file: ProtoFile, kept: ReadonlySet<string>): Buffer | undefined {
  const repair = new Repair(file, kept)
  const repaired = editMessage(file, file.whole, (field) =>
    field.number === GRAPH ? repair.graph(field) : 'keep',
  )
  return repaired && assemble(file, repaired)
}

class Repair {
  readonly #file: ProtoFile
  readonly #kept: ReadonlySet<string>

  constructor(file: ProtoFile, kept: ReadonlySet<string>) {
    this.#file = file
    this.#kept = kept
  }

  graph(graph: Range): Change {
    const weights = new Set<string | undefined>()
    for (const field of this.#file.fields(graph)) {
      if (field.number === INITIALIZER) weights.add(this.#textIn(field, TENSOR_NAME))
    }
    const isStale = (field: ProtoField): boolean => {
      const name = field.number === INPUT ? this.#textIn(field, VALUE_NAME) : undefined
      return name !== undefined && !this.#kept.has(name) && !weights.has(name)
    }
    return this.#withoutCopies(graph, 0, isStale)
  }

  /** Drops a weight in the file if the same one is outside, in this graph and in its subgraphs. */
  #withoutCopies(graph: Range, depth: number, isStale?: (field: ProtoField) => boolean): Change {
    if (depth > MAX_DEPTH) return 'keep'
    const outside = new Set<string>()
    for (const field of this.#file.fields(graph)) {
      const isWeight = field.number === INITIALIZER && this.#isOutside(field)
      const name = isWeight ? this.#textIn(field, TENSOR_NAME) : undefined
      if (name !== undefined) outside.add(name)
    }
    return this.#edit(graph, (field) => {
      if (field.number === NODE) return this.#withoutCopiesInNode(field, depth)
      if (isStale?.(field) === true) return 'drop'
      if (field.number !== INITIALIZER || this.#isOutside(field)) return 'keep'
      return outside.has(this.#textIn(field, TENSOR_NAME) ?? '') ? 'drop' : 'keep'
    })
  }

  #withoutCopiesInNode(node: Range, depth: number): Change {
    return this.#edit(node, (attribute) => {
      if (attribute.number !== ATTRIBUTE) return 'keep'
      return this.#edit(attribute, (value) =>
        SUBGRAPHS.has(value.number) ? this.#withoutCopies(value, depth + 1) : 'keep',
      )
    })
  }

  #edit(message: Range, change: (field: ProtoField) => Change): Change {
    return editMessage(this.#file, message, change) ?? 'keep'
  }

  /** Whether the data of a `TensorProto` are in another file. */
  #isOutside(tensor: Range): boolean {
    return [...this.#file.fields(tensor)].some(({ number }) => number === DATA_LOCATION)
  }

  #textIn(message: Range, number: number): string | undefined {
    for (const field of this.#file.fields(message)) {
      if (field.number === number) return this.#file.bytes(field, MAX_NAME_BYTES).toString('utf8')
    }
    return undefined
  }
}
