/** Rules of operators that compute over some axes, which must not include the batch axis. */
import { ONE } from '../dimension.ts'
import { batched, fixed } from '../flow.ts'
import type { Batched, Flow } from '../flow.ts'
import { normalAxis, shapeOf } from '../node-view.ts'
import type { NodeView, Rule } from '../node-view.ts'
import { NeverProved, NotProved } from '../not-proved.ts'
import { unchanged } from './elementwise.ts'

/** From this operator set on, `Softmax` computes over one axis. */
const ONE_AXIS_SOFTMAX = 13

export const reduce: Rule = (node) => {
  const data = node.input(0)
  const axes = node.axes('axes', 1)
  const isEmpty = axes === undefined || axes.length === 0
  if (isEmpty && node.number('noop_with_empty_axes', 0) !== 0) return [unchanged(data)]
  const rank = shapeOf(data).length
  const reduced = isEmpty
    ? Array.from({ length: rank }, (_, axis) => axis)
    : axes.map((axis) => normalAxis(axis, rank))
  return [without(node, reduced)]
}

/** `ArgMax` and `ArgMin`. */
export const argument: Rule = (node) => {
  const rank = shapeOf(node.input(0)).length
  return [without(node, [normalAxis(node.number('axis', 0), rank)])]
}

/** Reduces axes to size 1, or drops them. */
function without(node: NodeView, reduced: readonly number[]): Flow {
  const data = node.input(0)
  const shape = shapeOf(data)
  const isKept = node.number('keepdims', 1) !== 0
  const order = [...shape.keys()].filter((axis) => isKept || !reduced.includes(axis))
  const dims = order.map((axis) => (reduced.includes(axis) ? ONE : (shape[axis] ?? ONE)))
  if (data.kind === 'fixed') return fixed(dims)
  if (data.kind === 'sized') throw new NotProved('depends on the batch size')
  if (reduced.includes(data.axis)) throw new NotProved('operates over the batch dimension')
  return batched(dims, order.indexOf(data.axis))
}

/** Computes along one axis, separately for each line. The axis is an attribute. */
export function alongAxis(absent: number): Rule {
  return (node) => lines(node, node.number('axis', absent))
}

/** Like {@link alongAxis}, but the axis is the second input. */
export const alongInputAxis: Rule = (node) => {
  const [axis] = node.numbers(1) ?? []
  if (axis === undefined) throw new NotProved('has an unknown axis')
  return lines(node, axis)
}

function lines(node: NodeView, given: number): readonly Flow[] {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind !== 'batched') return [unchanged(data)]
  const axis = normalAxis(given, data.shape.length)
  if (axis === data.axis) throw new NotProved('operates over the batch dimension')
  return [data]
}

/** Up to operator set 12, it computes over an axis and all axes after it. */
export const softmax: Rule = (node) => {
  if (node.version >= ONE_AXIS_SOFTMAX) return lines(node, node.number('axis', -1))
  const data = node.input(0)
  if (data.kind !== 'batched') return [unchanged(data)]
  return [before(data, normalAxis(node.number('axis', 1), data.shape.length))]
}

/** Computes from an axis to the last one. Scale, bias, mean and deviation belong to these axes. */
export const layerNormalization: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind !== 'batched') return [unchanged(data)]
  const rank = data.shape.length
  const axis = normalAxis(node.number('axis', -1), rank)
  for (const setting of node.inputs.slice(1)) {
    if (setting !== undefined && shapeOf(setting).length > rank - axis) {
      throw new NotProved('has a different scale for each request of a batch')
    }
  }
  const result = before(data, axis)
  const moments = batched(
    data.shape.map((dim, index) => (index < axis ? dim : ONE)),
    data.axis,
  )
  return [result, moments, moments]
}

function before(data: Batched, axis: number): Batched {
  if (data.axis < axis) return data
  throw new NotProved('operates over the batch dimension')
}

/**
 * Computes within each sample, or within each of its channels: the batch must be the first axis.
 */
export const samples: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind !== 'batched') return [unchanged(data)]
  if (data.axis !== 0) throw new NotProved('operates over the batch dimension')
  return [data]
}

/**
 * Computes over neighbouring channels, or with numbers for each channel: the batch must not be the
 * second axis.
 */
export const channels: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind !== 'batched') return [unchanged(data)]
  if (data.axis === 1) throw new NotProved('operates over the batch dimension')
  return [data]
}

export const batchNormalization: Rule = (node) => {
  if (node.number('training_mode', 0) !== 0 || node.outputCount > 1) {
    throw new NotProved('normalizes over the whole batch (training mode)')
  }
  return channels(node)
}

export const meanVarianceNormalization: Rule = (node) => {
  const data = node.input(0)
  if (data.kind !== 'batched') return [unchanged(data)]
  const axes = node.list('axes') ?? [0, 2, 3]
  if (axes.some((axis) => normalAxis(axis, data.shape.length) === data.axis)) {
    throw new NotProved('operates over the batch dimension')
  }
  return [data]
}

/** Drops elements only in training mode. */
export const dropout: Rule = (node) => {
  const training = node.inputs[2]
  const isOff =
    training === undefined ||
    (training.kind === 'fixed' && training.values?.every(({ factor }) => factor === 0) === true)
  if (!isOff) throw new NeverProved('drops elements at random (training mode)')
  node.requireFixed(0)
  const data = node.input(0)
  return data.kind === 'batched' ? [data, data] : [unchanged(data), unchanged(data)]
}

/** Computes over the last two axes, for each matrix separately. */
export const lastTwoAxes: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind !== 'batched') return [unchanged(data)]
  if (data.axis >= data.shape.length - 2) throw new NotProved('operates over the batch dimension')
  return [data]
}
