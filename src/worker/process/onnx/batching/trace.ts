import type { Graph, GraphNode, StoredTensor } from '../graph/graph.ts'
/**
 * Follows the batch through a graph, operator by operator, and decides whether each output keeps
 * the requests of a joined run apart.
 */
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { BATCH, DimNames, fixedDim, hasBatch, namedDim, sameDim } from './dimension.ts'
import type { Dim } from './dimension.ts'
import { batched, fixed } from './flow.ts'
import type { Flow, Mixed } from './flow.ts'
import { isName } from './groups.ts'
import { NodeView, storedShape } from './node-view.ts'
import type { Inflow } from './node-view.ts'
import { NeverProved, NotProved } from './not-proved.ts'
import { ruleOf } from './rules/table.ts'

/** Operator sets that the rules cover. Older ones broadcast in other ways. */
const VERSIONS: ReadonlyMap<string, readonly [first: number, last: number]> = new Map([
  ['', [6, 26]],
  ['ai.onnx.ml', [1, 5]],
  ['com.microsoft', [1, 1]],
])
/** Operators that broadcast or train differently up to operator set 6. */
const CHANGED_IN_7 = /^(?:BatchNormalization|Dropout|Gemm|LSTM|GRU|RNN|PRelu)$/
/** Quantization with a scale that is computed from all elements of a run. */
const WHOLE_TENSOR_SCALE = /^DynamicQuantize/
/**
 * Returns a sentence that says why the requests of a joined run are not proved to stay apart;
 * `undefined` when they are.
 */
export function whyNotApart(graph: Graph, inputs: readonly TensorSpec[]): string | undefined {
  const trace = new Trace(graph)
  return (
    trace.readInputs(inputs) ??
    trace.readNodes() ??
    graph.outputs.map((name) => trace.problemOf(name)).find((problem) => problem !== undefined)
  )
}

/**
 * Returns why the first dimension of an input cannot be the batch dimension; `undefined` when all
 * can.
 */
export function whyNoBatch(inputs: readonly TensorSpec[]): string | undefined {
  const batchNames = new Set(inputs.map(({ dimensions: [first] }) => first))
  if (inputs.length === 0) return 'The model has no inputs.'
  for (const { name, shape, dimensions } of inputs) {
    const input = `Input ${quote(name)}`
    const [size] = shape
    if (size === undefined) return `${input} has no batch dimension.`
    if (size >= 0) return `${input} has a fixed first dimension.`
    const double = dimensions.slice(1).find((one) => isName(one) && batchNames.has(one))
    if (double === undefined) continue
    return `${input} has the batch dimension ${quote(String(double))} more than once.`
  }
  return undefined
}

class Trace {
  readonly #graph: Graph
  readonly #names = new DimNames()
  readonly #flows = new Map<string, Flow>()

  constructor(graph: Graph) {
    this.#graph = graph
    for (const [name, tensor] of graph.constants) this.#flows.set(name, flowOf(tensor))
  }

  readInputs(inputs: readonly TensorSpec[]): string | undefined {
    for (const { name, dimensions } of inputs) {
      if (this.#flows.has(name) || !this.#graph.inputs.includes(name)) {
        return `Input ${quote(name)} is not among the inputs of the graph.`
      }
      const dims = dimensions.slice(1).map((dimension) => this.#dimOf(dimension))
      this.#flows.set(name, batched([BATCH, ...dims], 0))
    }
    return undefined
  }

  #dimOf(dimension: number | string): Dim {
    if (typeof dimension === 'number') return fixedDim(dimension)
    // In quotes, so that it cannot equal one of our own names.
    return isName(dimension) ? namedDim(JSON.stringify(dimension)) : this.#names.fresh()
  }

  readNodes(): string | undefined {
    const dynamic = this.#graph.nodes.find(({ operator }) => WHOLE_TENSOR_SCALE.test(operator))
    if (dynamic !== undefined)
      return mixed(dynamic, 'computes its scale from the whole batch').reason
    for (const node of this.#graph.nodes) {
      const flows = this.#flowsOf(node)
      for (const [index, name] of node.outputs.entries()) {
        if (name === '') continue
        if (this.#flows.has(name)) return `The graph computes ${quote(name)} twice.`
        const missing = (): Flow => mixed(node, 'has an output that the proof does not support')
        this.#flows.set(name, flows[index] ?? missing())
      }
    }
    return undefined
  }

  #flowsOf(node: GraphNode): readonly Flow[] {
    const inputs: (Inflow | undefined)[] = []
    for (const name of node.inputs) {
      const flow = name === '' ? undefined : this.#flows.get(name)
      if (name !== '' && flow === undefined) return all(node, 'has an input that no node computes')
      if (flow?.kind === 'mixed') return node.outputs.map(() => flow)
      inputs.push(flow)
    }
    return this.#apply(node, inputs)
  }

  #apply(node: GraphNode, inputs: readonly (Inflow | undefined)[]): readonly Flow[] {
    const { domain, operator } = node
    const { operatorSets, functions } = this.#graph
    if (functions.has(`${domain}:${operator}`)) {
      return all(node, 'is a function of the model, which the proof does not support')
    }
    const rule = ruleOf(domain, operator)
    if (rule === undefined) return all(node, 'has no rule in the proof')
    const version = operatorSets.get(domain) ?? 0
    const [first, last] = VERSIONS.get(domain) ?? [0, 0]
    const isOther = version < 7 && (CHANGED_IN_7.test(operator) || node.attributes.has('broadcast'))
    if (version < first || version > last || (domain === '' && isOther)) {
      return all(node, `has operator set ${version}, which the proof does not support`)
    }
    const view = new NodeView(node, inputs, version, this.#names)
    try {
      return rule(view)
    } catch (error) {
      if (!(error instanceof NotProved)) throw error
      // The rule does not cover it, but with fixed inputs its result is the same in every run.
      const isSame = view.isFixed && !(error instanceof NeverProved)
      return isSame ? node.outputs.map(() => fixed()) : all(node, error.message)
    }
  }

  /**
   * Returns why an output does not have exactly the samples of the inputs; `undefined` when it
   * does.
   */
  problemOf(name: string): string | undefined {
    const flow = this.#flows.get(name)
    if (flow === undefined) return `No node computes output ${quote(name)}.`
    if (flow.kind === 'mixed') return flow.reason
    if (flow.kind !== 'batched') return `Output ${quote(name)} has no batch dimension.`
    const [size] = flow.shape
    if (flow.axis !== 0) return `Output ${quote(name)} does not have the batch dimension first.`
    return size !== undefined && hasBatch(size) && sameDim(size, BATCH)
      ? undefined
      : `The first dimension of output ${quote(name)} differs from the batch dimension of the inputs.`
  }
}

function flowOf(tensor: StoredTensor): Flow {
  return { kind: 'fixed', shape: storedShape(tensor), values: tensor.values?.map(fixedDim) }
}

function all(node: GraphNode, problem: string): readonly Flow[] {
  return node.outputs.map(() => mixed(node, problem))
}

function mixed({ name, operator, outputs }: GraphNode, problem: string): Mixed {
  const place = name === '' ? `output ${quote(outputs[0] ?? '')}` : `node ${quote(name)}`
  return { kind: 'mixed', reason: `Operator ${operator} (${place}) ${problem}.` }
}
