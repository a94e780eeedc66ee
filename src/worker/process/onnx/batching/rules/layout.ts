/** Rules of operators that move elements. The batch must stay the outermost factor of one axis. */
import {
  BATCH,
  ONE,
  divided,
  fixedDim,
  hasBatch,
  isMultipleOfBatch,
  isPositive,
  numberOf,
  productOf,
  sameDim,
  times,
} from '../dimension.ts'
import type { Dim, DimNames } from '../dimension.ts'
import { batched, fixed, known } from '../flow.ts'
import type { Flow, Shape } from '../flow.ts'
import { normalAxis, shapeOf } from '../node-view.ts'
import type { Inflow, NodeView, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'

export const reshape: Rule = (node) => {
  const data = node.input(0)
  const target = node.version < 5 ? node.list('shape')?.map(fixedDim) : node.values(1)
  if (target === undefined) throw new NotProved('has an unknown target shape')
  if (data.kind === 'fixed' && data.shape === undefined) return [fixed()]
  const isZeroKept = node.number('allowzero', 0) !== 0
  const shape = completeShape(shapeOf(data), target, { isZeroKept, names: node.names })
  if (shape !== undefined) return [reshaped(data, shape)]
  if (data.kind === 'fixed' && !target.some(hasBatch)) return [fixed()]
  throw new NotProved('reshapes the batch in a way that the proof does not support')
}

/** Makes a matrix: the axes before `axis` become the first dimension, the others the second. */
export const flatten: Rule = (node) => {
  const data = node.input(0)
  if (data.kind === 'fixed' && data.shape === undefined) return [fixed()]
  const shape = shapeOf(data)
  const given = node.number('axis', 1)
  const axis = given < 0 ? given + shape.length : given
  return [reshaped(data, [productOf(shape.slice(0, axis)), productOf(shape.slice(axis))])]
}

export const squeeze: Rule = (node) => {
  const data = node.input(0)
  const axes = node.axes('axes', 1)
  if (data.kind === 'fixed' && (data.shape === undefined || axes === undefined)) {
    return [
      data.shape !== undefined && data.values?.length === 1 ? known([], data.values) : fixed(),
    ]
  }
  if (axes === undefined) throw new NotProved('removes the batch dimension if it is 1')
  const shape = shapeOf(data)
  const dropped = new Set(axes.map((axis) => normalAxis(axis, shape.length)))
  if (data.kind === 'batched' && dropped.has(data.axis)) {
    throw new NotProved('removes the batch dimension')
  }
  return [
    rearranged(
      data,
      [...shape.keys()].filter((axis) => !dropped.has(axis)),
    ),
  ]
}

export const unsqueeze: Rule = (node) => {
  const data = node.input(0)
  const axes = node.axes('axes', 1)
  if (axes === undefined) throw new NotProved('has unknown axes')
  if (data.kind === 'fixed' && data.shape === undefined) return [fixed()]
  const rank = shapeOf(data).length + axes.length
  const added = new Set(axes.map((axis) => normalAxis(axis, rank)))
  let next = 0
  const order = Array.from({ length: rank }, (_, axis) => (added.has(axis) ? undefined : next++))
  return [rearranged(data, order)]
}

export const transpose: Rule = (node) => {
  const data = node.input(0)
  if (data.kind === 'fixed' && data.shape === undefined) return [fixed()]
  const shape = shapeOf(data)
  const order = node.list('perm') ?? [...shape.keys()].toReversed()
  if (new Set(order).size !== shape.length || !order.every((axis) => shape[axis] !== undefined)) {
    throw new NotProved('has a permutation that does not match the rank of its input')
  }
  const isLine = shape.length < 2
  if (data.kind !== 'batched' && !isLine) {
    if (data.kind === 'sized')
      throw new NotProved('transposes a tensor that depends on the batch size')
    return [fixed(order.map((axis) => shape[axis] ?? ONE))]
  }
  return [rearranged(data, order)]
}

/**
 * Moves elements between depth and space, or within a group of channels: always inside one sample,
 * so the batch must be the first axis.
 */
export function blocks(shapeOfResult: (shape: Shape, node: NodeView) => Shape): Rule {
  return (node) => {
    const data = node.input(0)
    if (data.kind === 'fixed') return [fixed()]
    if (data.kind !== 'batched' || data.axis !== 0) {
      throw new NotProved('moves elements between requests')
    }
    return [batched(shapeOfResult(data.shape, node), 0)]
  }
}

export const depthToSpace = blocks(([batch = BATCH, channels = ONE, ...space], node) => {
  const block = fixedDim(node.number('blocksize', 1))
  return [
    batch,
    divided(channels, times(block, block)) ?? node.names.fresh(),
    ...space.map((dim) => times(dim, block)),
  ]
})

export const spaceToDepth = blocks(([batch = BATCH, channels = ONE, ...space], node) => {
  const block = fixedDim(node.number('blocksize', 1))
  return [
    batch,
    times(channels, times(block, block)),
    ...space.map((dim) => divided(dim, block) ?? node.names.fresh()),
  ]
})

/**
 * The same elements in another shape.
 * @throws NotProved when a sample does not stay in one piece.
 */
export function reshaped(data: Inflow, shape: Shape): Flow {
  if (data.kind !== 'batched') {
    if (shape.some(hasBatch)) throw new NotProved('reshapes a constant to the batch size')
    return data.values === undefined ? fixed(shape) : known(shape, data.values)
  }
  const axes = [...shape.keys()].filter((axis) => hasBatch(shape[axis] ?? ONE))
  const [axis, ...others] = axes
  if (axis === undefined) throw new NotProved('has a fixed batch size')
  const size = shape[axis] ?? ONE
  if (others.length > 0 || !isMultipleOfBatch(size)) {
    throw new NotProved('reshapes the batch in a way that the proof does not support')
  }
  // The total size need not be checked: a run in which it changes fails, alone or joined.
  const before = productOf(data.shape.slice(0, data.axis))
  if (!sameDim(before, productOf(shape.slice(0, axis)))) {
    throw new NotProved('moves elements between requests')
  }
  return batched(shape, axis)
}

/**
 * Replaces 0 (the size of the input) and -1 (the remaining size) in the shape; `undefined` when the
 * result is unknown.
 */
function completeShape(
  data: Shape,
  target: readonly Dim[],
  { isZeroKept, names }: { readonly isZeroKept: boolean; readonly names: DimNames },
): readonly Dim[] | undefined {
  const shape = target.map((dim, axis) =>
    numberOf(dim) === 0 && !isZeroKept ? (data[axis] ?? ONE) : dim,
  )
  const open = shape.flatMap((dim, axis) => (numberOf(dim) === -1 ? [axis] : []))
  const rest = shape.filter((dim) => numberOf(dim) !== -1)
  const [axis, ...others] = open
  if (others.length > 0 || !rest.every((dim) => isPositive(dim) || numberOf(dim) === 0)) {
    return undefined
  }
  if (axis === undefined) return shape
  const left = divided(productOf(data), productOf(rest))
  if (left !== undefined) return shape.with(axis, left)
  // A remaining size within one sample is the same in every run. If it could contain the batch
  // size, it must be known.
  return rest.some(hasBatch) ? shape.with(axis, names.fresh()) : undefined
}

/**
 * Puts axes into another order. `undefined` stands for a new axis of size 1; axes that are missing
 * in `order` have size 1.
 */
function rearranged(data: Inflow, order: readonly (number | undefined)[]): Flow {
  const shape = shapeOf(data)
  const dims = order.map((axis) => (axis === undefined ? ONE : (shape[axis] ?? ONE)))
  if (data.kind !== 'batched')
    return data.values === undefined ? fixed(dims) : known(dims, data.values)
  return batched(dims, order.indexOf(data.axis))
}
