/** Rules of operators that join, split or repeat tensors. */
import {
  ONE,
  fixedDim,
  hasBatch,
  isMultipleOfBatch,
  isOne,
  isPositive,
  numberOf,
  sameDim,
  times,
} from '../dimension.ts'
import type { Dim, DimNames } from '../dimension.ts'
import { batched, fixed, known, knownList } from '../flow.ts'
import type { Flow, Shape } from '../flow.ts'
import { normalAxis, shapeOf } from '../node-view.ts'
import type { Inflow, NodeView, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'

export const concat: Rule = (node) => [concatenated(node.given, node.number('axis', 1), node.names)]

/** Concatenates only the tensors in `parts`; the caller leaves out the operator's settings. */
export function concatenated(parts: readonly Inflow[], axis: number, names: DimNames): Flow {
  const lists = parts.map(listOf)
  if (lists.every((list) => list !== undefined)) return knownList(lists.flat())
  const own = parts.filter((part) => part.kind === 'batched')
  if (own.length === 0) {
    if (parts.some(({ kind }) => kind === 'sized')) {
      throw new NotProved('depends on the batch size')
    }
    const shapes = parts.map(({ shape }) => shape)
    const [first] = shapes
    if (first === undefined || !shapes.every((shape) => shape !== undefined)) return fixed()
    const joined = normalAxis(axis, first.length)
    return fixed(first.with(joined, summed(shapes, joined, names)))
  }
  const [first, ...others] = own
  if (first === undefined || own.length < parts.length) {
    throw new NotProved('concatenates a constant to the batch')
  }
  const { shape } = first
  const joined = normalAxis(axis, shape.length)
  if (joined === first.axis) throw new NotProved('concatenates along the batch dimension')
  const isAlike = others.every(
    (other) =>
      other.axis === first.axis &&
      other.shape.length === shape.length &&
      sameDim(other.shape[other.axis] ?? ONE, shape[first.axis] ?? ONE),
  )
  if (!isAlike) throw new NotProved('combines batches of different shapes')
  const size = summed(
    own.map((part) => part.shape),
    joined,
    names,
  )
  return batched(shape.with(joined, size), first.axis)
}

function listOf(input: Inflow): readonly Dim[] | undefined {
  if (input.kind === 'batched' || input.shape?.length !== 1) return undefined
  return input.values
}

function summed(shapes: readonly Shape[], axis: number, names: DimNames): Dim {
  const sizes = shapes.map((shape) => numberOf(shape[axis] ?? ONE))
  const isKnown = sizes.every((size) => size !== undefined)
  return isKnown ? fixedDim(sizes.reduce((total, size) => total + size, 0)) : names.fresh()
}

export const split: Rule = (node) => {
  const data = node.input(0)
  const count = node.outputCount
  const shape = shapeOf(data)
  const axis = normalAxis(node.number('axis', 0), shape.length)
  const sizes = node.axes('split', 1)
  if (data.kind !== 'batched' && data.values !== undefined && shape.length === 1) {
    return splitList(data.values, sizes, count)
  }
  if (data.kind === 'sized') throw new NotProved('depends on the batch size')
  if (data.kind === 'batched' && axis === data.axis)
    throw new NotProved('splits the batch dimension')
  const whole = numberOf(shape[axis] ?? ONE)
  return Array.from({ length: count }, (_, index) => {
    const even = whole === undefined ? undefined : Math.ceil(whole / count)
    const isLast = index === count - 1 && even !== undefined && whole !== undefined
    const size = sizes?.[index] ?? (isLast ? whole - even * (count - 1) : even)
    const part = shape.with(axis, size === undefined ? node.names.fresh() : fixedDim(size))
    return data.kind === 'batched' ? batched(part, data.axis) : fixed(part)
  })
}

function splitList(
  values: readonly Dim[],
  sizes: readonly number[] | undefined,
  count: number,
): readonly Flow[] {
  let next = 0
  return Array.from({ length: count }, (_, index) => {
    const size = sizes?.[index] ?? values.length / count
    next += size
    return knownList(values.slice(next - size, next))
  })
}

/** Repeats a tensor to a larger shape, as in broadcasting. */
export const expand: Rule = (node) => {
  const data = node.input(0)
  const target = node.values(1) ?? []
  if (data.kind === 'sized') throw new NotProved('depends on the batch size')
  const own = shapeOf(data)
  const rank = Math.max(own.length, target.length)
  const shape: Dim[] = []
  let batch = data.kind === 'batched' ? data.axis + rank - own.length : undefined
  for (let axis = 0; axis < rank; axis++) {
    const from = own[axis - (rank - own.length)] ?? ONE
    const to = target[axis - (rank - target.length)] ?? ONE
    if (!isPositive(to)) {
      throw new NotProved('computes its output shape at run time')
    }
    if (hasBatch(from) || hasBatch(to)) {
      // A tensor that is the same for all requests is repeated for each of them.
      if (batch === undefined && isOne(from) && isMultipleOfBatch(to)) batch = axis
      const isKept = hasBatch(from) && (isOne(to) || sameDim(from, to))
      if (axis !== batch || (hasBatch(from) && !isKept)) {
        throw new NotProved('repeats the batch in a way that the proof does not support')
      }
      shape.push(hasBatch(from) ? from : to)
    } else shape.push(node.names.broadcast(from, to))
  }
  return [batch === undefined ? fixed(shape) : batched(shape, batch)]
}

export const tile: Rule = (node) => {
  const data = node.input(0)
  if (data.kind === 'sized') throw new NotProved('repeats a tensor that depends on the batch size')
  if (data.kind === 'fixed' && node.isFixed) return [fixed()]
  const shape = shapeOf(data)
  const repeats = node.values(1) ?? []
  if (repeats.length !== shape.length)
    throw new NotProved('has a number of repeats that differs from the rank of its input')
  const total = shape.map((dim, axis) => times(dim, repeats[axis] ?? ONE))
  if (data.kind === 'batched') {
    const isKept = repeats.every((repeat, axis) =>
      axis === data.axis ? isOne(repeat) : isPositive(repeat),
    )
    if (!isKept || repeats.some(hasBatch)) {
      throw new NotProved('repeats the batch dimension')
    }
    return [batched(total, data.axis)]
  }
  return [repeatedFor(total)]
}

/** The same value everywhere. The shape may contain the batch size. */
export const constantOfShape: Rule = (node) => {
  const shape = node.values(0)
  if (shape === undefined || !shape.every((dim) => isPositive(dim) || numberOf(dim) === 0)) {
    throw new NotProved('computes its output shape at run time')
  }
  const filled = repeatedFor(shape)
  const [size, ...others] = shape
  const count = others.length === 0 ? numberOf(size ?? ONE) : undefined
  const stored = node.tensor('value')
  const value = stored === undefined ? 0 : stored.values?.[0]
  if (count === undefined || value === undefined || count > 64) return [filled]
  return [
    known(
      shape,
      Array.from({ length: count }, () => fixedDim(value)),
    ),
  ]
}

/**
 * A tensor that is constant along the batch axis.
 * @throws NotProved when more than one axis depends on the batch size.
 */
function repeatedFor(shape: Shape): Flow {
  const axes = [...shape.keys()].filter((axis) => hasBatch(shape[axis] ?? ONE))
  const [axis, ...others] = axes
  if (axis === undefined) return fixed(shape)
  if (others.length > 0 || !isMultipleOfBatch(shape[axis] ?? ONE)) {
    throw new NotProved('has the batch size in more than one dimension')
  }
  return batched(shape, axis)
}

export const pad: Rule = (node) => {
  const data = node.input(0)
  if (data.kind === 'fixed' && node.isFixed) return [fixed()]
  node.requireFixed(0)
  if (data.kind !== 'batched') throw new NotProved('pads a tensor that depends on the batch size')
  const rank = data.shape.length
  const pads = node.version < 11 ? (node.list('pads') ?? node.list('paddings')) : node.numbers(1)
  const axes = (node.numbers(3) ?? [...data.shape.keys()]).map((axis) => normalAxis(axis, rank))
  if (pads?.length !== axes.length * 2)
    throw new NotProved('has pads that the proof does not support')
  const shape = data.shape.map((dim, axis) => padded(node, dim, amounts(pads, axes, axis)))
  if (amounts(pads, axes, data.axis).some((amount) => amount !== 0)) {
    throw new NotProved('pads the batch dimension')
  }
  return [batched(shape, data.axis)]
}

function amounts(
  pads: readonly number[],
  axes: readonly number[],
  axis: number,
): readonly number[] {
  const place = axes.indexOf(axis)
  if (place === -1) return [0, 0]
  return [pads[place] ?? 0, pads[place + axes.length] ?? 0]
}

function padded(node: NodeView, dim: Dim, [before = 0, after = 0]: readonly number[]): Dim {
  if (before === 0 && after === 0) return dim
  const size = numberOf(dim)
  return size === undefined ? node.names.fresh() : fixedDim(size + before + after)
}
