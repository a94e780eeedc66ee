/** The profile of the operators of a model. The worker sums it up; the front-end passes it on. */

/** What an operator, or one node, takes in a run on average. */
interface Cost {
  /** How often it runs. */
  readonly calls: number
  /** Milliseconds. The time of an operator with a graph of its own, such as `If`, contains it. */
  readonly ms: number
  /** Its part of the time of all operators, from 0 to 1. */
  readonly share: number
  /** Size of its outputs. */
  readonly outputBytes: number
}

/** All nodes of one operator. */
export interface OperatorShare extends Cost {
  /** Its name, for example `MatMul`. */
  readonly operator: string
}

/** One node of the graph that onnxruntime runs, which it has optimized. */
export interface SlowNode extends OperatorShare {
  readonly node: string
}

export interface ProfileSummary {
  /** Runs that were measured. */
  readonly runs: number
  /** Milliseconds of a run of the model, on average. */
  readonly msPerRun: number
  /** The slowest first. */
  readonly operators: readonly OperatorShare[]
  /** The slowest nodes, at most 20. */
  readonly nodes: readonly SlowNode[]
}
