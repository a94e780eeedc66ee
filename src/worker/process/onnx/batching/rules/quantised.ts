/**
 * Rules of quantized operators. Scales and zero points in the file are the same for all requests.
 */
import { ONE } from '../dimension.ts'
import { batched, elementCount } from '../flow.ts'
import { normalAxis, shapeOf } from '../node-view.ts'
import type { NodeView, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'
import { broadcast, unchanged } from './elementwise.ts'
import { concatenated } from './joining.ts'
import { quantisedProduct, requireOneElement } from './matrix.ts'

/**
 * `QuantizeLinear` and `DequantizeLinear`: one scale, or one for each position of an axis other
 * than the batch.
 */
export const scaled: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind !== 'batched') return [unchanged(data)]
  const scale = shapeOf(node.input(1))
  if (elementCount(scale) === 1) return [data]
  const axis = normalAxis(node.number('axis', 1), data.shape.length)
  if (scale.length !== 1 || axis === data.axis || node.number('block_size', 0) !== 0) {
    throw new NotProved('has a different scale or zero point for each request of a batch')
  }
  return [data]
}

/**
 * `QLinearAdd` and similar operators: two tensors, each with a scale and a zero point, and the
 * scale and zero point of the result.
 */
export const scaledPair: Rule = (node) => {
  node.requireFixed(0, 3)
  requireSingle(node, [1, 2, 4, 5, 6, 7])
  return [broadcast([node.input(0), node.input(3)], node.names)]
}

/** One tensor with its scale and zero point, and the scale and zero point of the result. */
export function scaledUnary(rule: Rule): Rule {
  return (node) => {
    node.requireFixed(0)
    requireSingle(node, [1, 2, 3, 4])
    return rule(node)
  }
}

/**
 * Joins tensors. The scale and zero point of the result come first, then each tensor with its own.
 */
export const scaledConcat: Rule = (node) => {
  const tensors = node.inputs.filter((_, index) => index >= 2 && index % 3 === 2)
  const places = node.inputs.flatMap((_, index) => (index < 2 || index % 3 !== 2 ? [index] : []))
  requireSingle(node, places)
  const given = tensors.filter((tensor) => tensor !== undefined)
  return [concatenated(given, node.number('axis', 1), node.names)]
}

function requireSingle(node: NodeView, indices: readonly number[]): void {
  for (const index of indices) requireOneElement(node, index)
}

/** `QGemm`: `A`, `B` and `C` with their scales. The batch is the first axis of `A`. */
export const scaledDense: Rule = (node) => {
  node.requireFixed(0)
  requireSingle(node, [1, 2, 7, 8])
  const data = node.batchedInput(0)
  const weights = shapeOf(node.input(3))
  const isPlain = node.number('transA', 0) === 0 && data.shape.length === 2 && data.axis === 0
  const addend = node.inputs[6]
  if (!isPlain || (addend !== undefined && shapeOf(addend).length > 1)) {
    throw new NotProved('operates over the batch dimension')
  }
  const [size = ONE] = data.shape
  const width = weights[node.number('transB', 0) === 0 ? 1 : 0] ?? ONE
  return [batched([size, width], 0)]
}

/** The product of quantized matrices as floats, with a bias for each column. */
export const floatProduct: Rule = (node) => {
  const bias = node.inputs[6]
  if (bias !== undefined && shapeOf(bias).length > 1) {
    throw new NotProved('has a different bias for each request of a batch')
  }
  return quantisedProduct(1, [2, 4], [3, 5, 6])(node)
}

/** Rejects layouts with the channels as the last axis, which the rule does not cover. */
export function channelsSecond(rule: Rule): Rule {
  return (node) => {
    if (node.number('channels_last', 0) !== 0)
      throw new NotProved(
        'has the channels in the last dimension, which the proof does not support',
      )
    return rule(node)
  }
}

/** Over one axis and, in the older form, all axes after it. */
export const scaledSoftmax: Rule = (node) => {
  const data = node.batchedInput(0)
  if (data.axis < normalAxis(node.number('axis', -1), data.shape.length)) return [data]
  throw new NotProved('operates over the batch dimension')
}
