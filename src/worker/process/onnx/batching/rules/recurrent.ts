/** Rules of recurrent operators: each sample of the batch must have its own state. */
import { BATCH, ONE, fixedDim, sameDim } from '../dimension.ts'
import type { Dim } from '../dimension.ts'
import { batched } from '../flow.ts'
import type { Flow } from '../flow.ts'
import type { Inflow, NodeView, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'

/** Indices of the inputs that may come from the requests: data, lengths, initial states. */
const DATA = 0
const LENGTHS = 4
const HIDDEN = 5
const CELL = 6

/** `RNN` and `GRU`. */
export const recurrent: Rule = (node) => run(node, [HIDDEN])

export const longShortTerm: Rule = (node) => run(node, [HIDDEN, CELL])

function run(node: NodeView, states: readonly number[]): readonly Flow[] {
  node.requireFixed(DATA, LENGTHS, ...states)
  const isBatchFirst = node.number('layout', 0) !== 0
  const { shape, axis } = node.batchedInput(DATA)
  if (shape.length !== 3 || axis !== (isBatchFirst ? 0 : 1)) {
    throw new NotProved('uses the batch dimension as time steps')
  }
  const size = shape[axis] ?? BATCH
  requireOwn(node.inputs[LENGTHS], 0, size)
  for (const state of states) requireOwn(node.inputs[state], isBatchFirst ? 0 : 1, size)
  const steps = shape[isBatchFirst ? 1 : 0] ?? ONE
  const directions = fixedDim(node.text('direction', 'forward') === 'bidirectional' ? 2 : 1)
  const width = fixedDim(node.number('hidden_size', 0))
  const state: Flow = isBatchFirst
    ? batched([size, directions, width], 0)
    : batched([directions, size, width], 1)
  const all: Flow = isBatchFirst
    ? batched([size, steps, directions, width], 0)
    : batched([steps, directions, size, width], 2)
  return [all, state, state]
}

/**
 * Checks that an input with values for each sample has the batch on that axis.
 * @throws NotProved
 */
function requireOwn(input: Inflow | undefined, axis: number, size: Dim): void {
  if (input === undefined) return
  const own = input.kind === 'batched' && input.axis === axis ? input.shape[axis] : undefined
  if (own === undefined || !sameDim(own, size)) {
    throw new NotProved('has a different initial state for each request of a batch')
  }
}

/** Reverses sequences; the lengths must belong to the samples of the batch. */
export const reverseSequence: Rule = (node) => {
  const data = node.batchedInput(0)
  const lengths = node.batchedInput(1)
  const axis = node.number('batch_axis', 1)
  if (data.axis !== axis || node.number('time_axis', 0) === axis || lengths.axis !== 0) {
    throw new NotProved('uses the batch dimension as time steps')
  }
  requireOwn(lengths, 0, data.shape[axis] ?? ONE)
  return [data]
}
