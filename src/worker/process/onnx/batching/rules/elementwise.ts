/**
 * Rules of operators that compute each element from the elements at the same position of their
 * inputs.
 */
import { hasBatch, isOne, sameDim, ONE } from '../dimension.ts'
import type { Dim, DimNames } from '../dimension.ts'
import { batched, fixed } from '../flow.ts'
import type { Flow, Shape } from '../flow.ts'
import { shapeOf } from '../node-view.ts'
import type { Inflow, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'

/** One output; all inputs are broadcast against each other. */
export const elementwise: Rule = (node) => [broadcast(node.given, node.names)]

/**
 * All outputs have the shape of the first input. The other inputs are settings, which are the same
 * in every run.
 */
export const likeFirst: Rule = (node) => {
  node.requireFixed(0)
  return Array.from({ length: node.outputCount }, () => unchanged(node.input(0)))
}

/** The same shape with other elements. */
export function unchanged(input: Inflow): Flow {
  if (input.kind === 'batched') return input
  if (input.kind === 'fixed') return fixed(input.shape)
  throw new NotProved('depends on the batch size')
}

/**
 * The result of broadcasting. The batch must be on the same axis of all inputs that have it. An
 * input that is the same for all requests must have size 1 there.
 * @throws NotProved
 */
export function broadcast(inputs: readonly Inflow[], names: DimNames): Flow {
  if (inputs.some(({ kind }) => kind === 'sized')) {
    throw new NotProved('depends on the batch size')
  }
  const isFixed = inputs.every(({ kind }) => kind === 'fixed')
  if (isFixed && inputs.some(({ shape }) => shape === undefined)) return fixed()
  const rank = Math.max(0, ...inputs.map((input) => shapeOf(input).length))
  const axis = isFixed ? undefined : commonAxis(inputs, rank)
  const shape: Dim[] = []
  for (let index = 0; index < rank; index++) {
    let dim: Dim = ONE
    for (const input of inputs) {
      const own = alignedDim(shapeOf(input), rank, index)
      dim = index === axis ? batchSize(input, own, dim) : names.broadcast(dim, own)
    }
    shape.push(dim)
  }
  return axis === undefined ? fixed(shape) : batched(shape, axis)
}

/** Size of an axis of the broadcast tensor; 1 when this input does not have the axis. */
function alignedDim(shape: Shape, rank: number, index: number): Dim {
  return shape[index - (rank - shape.length)] ?? ONE
}

function commonAxis(inputs: readonly Inflow[], rank: number): number {
  const axes = inputs.flatMap((input) =>
    input.kind === 'batched' ? [input.axis + rank - input.shape.length] : [],
  )
  const [axis = 0, ...others] = axes
  if (others.every((other) => other === axis)) return axis
  throw new NotProved('combines each request with all others')
}

function batchSize(input: Inflow, own: Dim, before: Dim): Dim {
  if (input.kind !== 'batched') {
    if (isOne(own)) return before
    throw new NotProved('has a different constant for each request of a batch')
  }
  if (!hasBatch(before) || sameDim(before, own)) return own
  throw new NotProved('combines batches of different sizes')
}
