/**
 * Rules of onnxruntime's own operators (`com.microsoft`) that replace a group of others, mostly in
 * transformers.
 */
import { BATCH, ONE, hasBatch, isOne, sameDim } from '../dimension.ts'
import type { Dim } from '../dimension.ts'
import { batched, fixed } from '../flow.ts'
import type { Batched, Flow } from '../flow.ts'
import { shapeOf } from '../node-view.ts'
import type { Inflow, NodeView, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'
import { broadcast } from './elementwise.ts'
import { requireOneElement } from './matrix.ts'

/** The sum of input and skip, normalized over the last axis. */
export const skipNormalization: Rule = (node) => {
  node.requireFixed(0, 1)
  const sum = broadcast([node.input(0), node.input(1)], node.names)
  if (sum.kind !== 'batched') return [fixed(), fixed(), fixed(), fixed()]
  if (sum.axis >= sum.shape.length - 1) throw new NotProved('operates over the batch dimension')
  for (const setting of node.inputs.slice(2)) {
    if (setting !== undefined && shapeOf(setting).length > 1) {
      throw new NotProved('has a different scale for each request of a batch')
    }
  }
  const moments = batched(sum.shape.with(sum.shape.length - 1, ONE), sum.axis)
  return [sum, moments, moments, sum]
}

/**
 * Embeddings of words, positions and segments of each sample. The last two outputs are a mask and
 * the sum before the normalization.
 */
export const embedding: Rule = (node) => {
  node.requireFixed(0, 1, 7, 8)
  const words = sequenceOf(node.input(0), 2)
  for (const index of [1, 7, 8]) requireSameBatch(node.inputs[index], words, [2])
  const width = node.input(2).shape?.[1] ?? node.names.fresh()
  const result = batched([...words.shape, width], 0)
  return [result, batched([sizeOf(words)], 0), result]
}

/** `Attention`, whose queries, keys and values come from one input. */
export const attention: Rule = (node) => {
  node.requireFixed(0, 3, 5)
  requireAbsent(node, 4)
  requireAbsent(node, 6)
  const data = sequenceOf(node.input(0), 3)
  requireSameBatch(node.inputs[3], data, [1, 2, 3])
  requireBias(node.inputs[5], data)
  return [attended(data, node)]
}

/** `Attention` of quantized numbers. */
export const quantisedAttention: Rule = (node) => {
  node.requireFixed(0, 5)
  requireAbsent(node, 8)
  for (const index of [3, 6]) requireOneElement(node, index)
  const data = sequenceOf(node.input(0), 3)
  requireSameBatch(node.inputs[5], data, [1, 2, 3])
  return [attended(data, node)]
}

/** Inputs: queries, keys, values, a common bias, a mask, and a bias of the attention. */
export const multiHeadAttention: Rule = (node) => {
  node.requireFixed(0, 1, 2, 4, 5)
  for (const index of [6, 7, 8, 9]) requireAbsent(node, index)
  const queries = node.batchedInput(0)
  if (queries.axis !== 0 || (queries.shape.length !== 3 && queries.shape.length !== 5)) {
    throw new NotProved('treats the batch dimension as the sequence')
  }
  for (const index of [1, 2]) requireSameBatch(node.inputs[index], queries, [3, 4, 5])
  requireSameBatch(node.inputs[4], queries, [1, 2, 3])
  requireBias(node.inputs[5], queries)
  const [size = BATCH, steps = ONE] = queries.shape
  const values = node.inputs[2]
  const width = values?.shape?.length === 3 ? values.shape[2] : undefined
  return [batched([size, steps, width ?? node.names.fresh()], 0)]
}

function attended(data: Batched, node: NodeView): Flow {
  const [size = BATCH, steps = ONE] = data.shape
  return batched([size, steps, node.names.fresh()], 0)
}

function sequenceOf(input: Inflow, rank: number): Batched {
  if (input.kind === 'batched' && input.axis === 0 && input.shape.length === rank) return input
  throw new NotProved('treats the batch dimension as the sequence')
}

/**
 * Checks that an input, if it is present, has the same batch as its first axis.
 * @throws NotProved
 */
function requireSameBatch(
  input: Inflow | undefined,
  { shape: [size = BATCH] }: Batched,
  ranks: readonly number[],
): void {
  if (input === undefined) return
  const isSame =
    input.kind === 'batched' &&
    input.axis === 0 &&
    ranks.includes(input.shape.length) &&
    sameDim(sizeOf(input), size)
  if (!isSame) throw new NotProved('has a different constant for each request of a batch')
}

/**
 * Checks a bias of [batch, heads, from, to]; its first size may be 1.
 * @throws NotProved
 */
function requireBias(input: Inflow | undefined, data: Batched): void {
  if (input === undefined) return
  const [first] = shapeOf(input)
  if (input.kind === 'fixed' && input.shape?.length === 4 && first !== undefined && isOne(first)) {
    return
  }
  requireSameBatch(input, data, [4])
}

function requireAbsent(node: NodeView, index: number): void {
  if (node.inputs[index] !== undefined) throw new NotProved('keeps a state from earlier runs')
}

function sizeOf({ shape: [size = BATCH] }: Batched): Dim {
  return size
}

/** Weights in blocks of few bits; each row of the input is multiplied separately. */
export const blockProduct: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind !== 'batched') return [fixed()]
  const last = data.shape.length - 1
  const isOwn = data.axis < last && !hasBatch(data.shape[last] ?? ONE)
  if (!isOwn) throw new NotProved('sums over the batch dimension')
  return [batched(data.shape.with(last, node.names.fresh()), data.axis)]
}
