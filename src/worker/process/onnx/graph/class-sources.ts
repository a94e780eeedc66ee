/** Finds the outputs that are classes: the label that a classifier chose for each row. */
import { withProtoFile } from '../../../../formats/proto-file.ts'
import type { ProtoFile } from '../../../../formats/proto-file.ts'
import { readClassList } from './class-list.ts'
import type { ClassList } from './class-list.ts'
import { readGraph } from './graph-reader.ts'
import type { Graph, GraphNode } from './graph.ts'

const CLASSICAL = 'ai.onnx.ml'
const CLASSIFIERS = /^(?:Linear|SVM|TreeEnsemble)Classifier$/
/** Operators of ONNX that keep the elements, in their order. */
const PASSING = /^(?:Identity|Cast|Reshape|Squeeze|Unsqueeze|Flatten)$/

/** Where the classes in an output come from. */
export interface ClassSource {
  /** The classes that the model lists; `undefined` if the output has positions of scores. */
  readonly classes: ClassList | undefined
}

/**
 * Returns the source of each output that has classes, by name. Never throws: for a graph that
 * cannot be read the result is empty.
 */
export function classSources(path: string): ReadonlyMap<string, ClassSource> {
  try {
    return withProtoFile(path, (file) => {
      const graph = readGraph(file)
      const search = new Search(file, graph)
      const found = graph.outputs.map((name) => [name, search.sourceOf(name)] as const)
      return new Map(found.flatMap(([name, source]) => (source ? [[name, source]] : [])))
    })
  } catch {
    return new Map()
  }
}

class Search {
  readonly #file: ProtoFile
  readonly #graph: Graph
  readonly #producers: ReadonlyMap<string, GraphNode>

  constructor(file: ProtoFile, graph: Graph) {
    this.#file = file
    this.#graph = graph
    this.#producers = new Map(
      graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node])),
    )
  }

  sourceOf(name: string): ClassSource | undefined {
    const origin = this.#originOf(name)
    if (origin === undefined) return undefined
    const { node, isFirst } = origin
    if (node.domain === CLASSICAL && CLASSIFIERS.test(node.operator)) {
      return isFirst ? { classes: readClassList(this.#file, node.place) } : undefined
    }
    if (isArgMax(node)) return { classes: undefined }
    const isLookup =
      (node.domain === CLASSICAL && node.operator === 'ArrayFeatureExtractor') ||
      (node.domain === '' && node.operator === 'Gather')
    const [table = '', index = ''] = node.inputs
    const numbers = isLookup ? this.#numbersIn(table) : undefined
    const chosen = numbers && this.#originOf(index)
    return chosen !== undefined && isArgMax(chosen.node)
      ? { classes: { kind: 'numbers', numbers: numbers ?? [] } }
      : undefined
  }

  /** Follows operators that keep the elements back to one that computes them. */
  #originOf(output: string): { node: GraphNode; isFirst: boolean } | undefined {
    const seen = new Set<string>()
    for (let name = output; !seen.has(name);) {
      seen.add(name)
      const node = this.#producers.get(name)
      if (node === undefined) return undefined
      if (node.domain !== '' || !PASSING.test(node.operator)) {
        return { node, isFirst: node.outputs[0] === name }
      }
      name = node.inputs[0] ?? ''
    }
    return undefined
  }

  /** The elements of a constant list of integers. */
  #numbersIn(name: string): readonly number[] | undefined {
    const { dims = [], values = [] } = this.#graph.constants.get(name) ?? {}
    const isList = dims.filter((size) => size !== 1).length <= 1 && values.length > 0
    return isList && values.every((value) => Number.isSafeInteger(value)) ? values : undefined
  }
}

/** Whether the node chooses one of the columns of a table. */
function isArgMax({ domain, operator, attributes }: GraphNode): boolean {
  const axis = attributes.get('axis')
  const isOfColumns = axis?.kind === 'number' && (axis.value === 1 || axis.value === -1)
  return domain === '' && operator === 'ArgMax' && isOfColumns
}
