/**
 * Rules of operators that pick elements by position or by index. They must not pick along the batch
 * axis.
 */
import { ONE, fixedDim, hasBatch, isPositive, numberOf, sameDim } from '../dimension.ts'
import type { Dim } from '../dimension.ts'
import { batched, fixed, known, knownList } from '../flow.ts'
import type { Batched, Flow, Shape } from '../flow.ts'
import { normalAxis, shapeOf } from '../node-view.ts'
import type { Inflow, NodeView, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'

/** An end from this value on means the end of the axis, because no batch is as large. */
const END = 1e9

export const gather: Rule = (node) => {
  const [data, indices] = [node.input(0), node.input(1)]
  const shape = shapeOf(data)
  const axis = normalAxis(node.number('axis', 0), shape.length)
  if (data.kind !== 'batched' && data.values !== undefined && shape.length === 1) {
    const picked = pick(data.values, indices)
    if (picked !== undefined) return [picked]
  }
  if (data.kind === 'sized' || indices.kind === 'sized') {
    throw new NotProved('depends on the batch size')
  }
  const places = shapeOf(indices)
  const result = [...shape.slice(0, axis), ...places, ...shape.slice(axis + 1)]
  if (data.kind === 'fixed') {
    return [indices.kind === 'fixed' ? fixed(result) : batched(result, axis + indices.axis)]
  }
  if (indices.kind === 'batched' || data.axis === axis) {
    throw new NotProved('selects elements across the whole batch')
  }
  return [batched(result, data.axis < axis ? data.axis : data.axis - 1 + places.length)]
}

/** Picks elements of a known list at known positions. */
function pick(values: readonly Dim[], indices: Inflow): Flow | undefined {
  if (indices.kind !== 'fixed' || indices.values === undefined) return undefined
  const picked: Dim[] = []
  for (const index of indices.values) {
    const place = numberOf(index)
    const value = place === undefined ? undefined : values.at(place)
    if (value === undefined) return undefined
    picked.push(value)
  }
  return known(shapeOf(indices), picked)
}

/** `GatherElements`: the indices and the data must have the batch on the same axis. */
export const gatherElements: Rule = (node) => {
  const [data, indices] = [node.input(0), node.input(1)]
  if (node.isFixed) return [fixed(indices.shape)]
  const axis = normalAxis(node.number('axis', 0), shapeOf(data).length)
  requireTogether(data, indices)
  const { axis: own, shape } = node.batchedInput(1)
  if (own === axis) throw new NotProved('selects elements across the whole batch')
  return [batched(shape, own)]
}

/**
 * `ScatterElements`: the indices, the updates and the data must have the batch on the same axis.
 */
export const scatterElements: Rule = (node) => {
  const [data, indices, updates] = [node.input(0), node.input(1), node.input(2)]
  if (node.isFixed) return [fixed(data.shape)]
  const { axis: own, shape } = node.batchedInput(0)
  requireTogether(data, indices)
  requireTogether(data, updates)
  if (own === normalAxis(node.number('axis', 0), shape.length)) {
    throw new NotProved('writes elements across the whole batch')
  }
  return [batched(shape, own)]
}

function requireTogether(one: Inflow, other: Inflow): void {
  const isTogether =
    one.kind === 'batched' &&
    other.kind === 'batched' &&
    one.axis === other.axis &&
    one.shape.length === other.shape.length &&
    sameDim(batchSize(one), batchSize(other))
  if (!isTogether) throw new NotProved('selects elements across the whole batch')
}

function batchSize({ shape, axis }: Batched): Dim {
  return shape[axis] ?? ONE
}

/** `GatherND`: picks rows of a table, or of each sample when its leading axes are batch axes. */
export const gatherNd: Rule = (node) => {
  const [data, indices] = [node.input(0), node.input(1)]
  const leading = node.number('batch_dims', 0)
  const depth = numberOf(shapeOf(indices).at(-1) ?? ONE)
  if (depth === undefined) throw new NotProved('selects elements across the whole batch')
  const result = [...shapeOf(indices).slice(0, -1), ...shapeOf(data).slice(leading + depth)]
  if (node.isFixed) return [fixed(result)]
  if (data.kind === 'batched') {
    requireTogether({ ...data, shape: data.shape.slice(0, 1) }, firstAxis(indices))
    if (data.axis !== 0 || leading < 1)
      throw new NotProved('selects elements across the whole batch')
    return [batched(result, 0)]
  }
  const own = node.batchedInput(1)
  const isTable = data.kind === 'fixed' && leading === 0 && own.axis < own.shape.length - 1
  if (!isTable) throw new NotProved('selects elements across the whole batch')
  return [batched(result, own.axis)]
}

function firstAxis(input: Inflow): Inflow {
  return input.kind === 'batched' ? { ...input, shape: input.shape.slice(0, 1) } : input
}

export const slice: Rule = (node) => {
  const data = node.input(0)
  const isOld = node.version < 10
  const starts = isOld ? node.list('starts')?.map(fixedDim) : node.values(1)
  const ends = isOld ? node.list('ends')?.map(fixedDim) : node.values(2)
  if (starts === undefined || ends === undefined) throw new NotProved('has unknown bounds')
  const given = isOld ? node.list('axes') : node.numbers(3)
  const steps = isOld ? undefined : node.numbers(4)
  const shape = shapeOf(data)
  const axes = (given ?? [...starts.keys()]).map((axis) => normalAxis(axis, shape.length))
  if (data.kind !== 'batched' && data.values !== undefined && shape.length === 1) {
    const cut = sliceList(data.values, [starts[0], ends[0]], steps?.[0] ?? 1)
    if (cut !== undefined) return [cut]
  }
  if (data.kind === 'sized') throw new NotProved('depends on the batch size')
  let result: Shape = shape
  for (const [index, axis] of axes.entries()) {
    const [start, end, step] = [starts[index], ends[index], steps?.[index] ?? 1]
    if (start === undefined || end === undefined) throw new NotProved('has unknown bounds')
    if (numberOf(start) === 0 && (numberOf(end) ?? 0) >= END && step === 1) continue
    if (data.kind === 'batched' && axis === data.axis)
      throw new NotProved('slices the batch dimension')
    if (hasBatch(start) || hasBatch(end)) throw new NotProved('depends on the batch size')
    result = result.with(axis, slicedSize(node, shape[axis] ?? ONE, start, { end, step }))
  }
  return [data.kind === 'batched' ? batched(result, data.axis) : fixed(result)]
}

function sliceList(
  values: readonly Dim[],
  [from, to]: readonly (Dim | undefined)[],
  step: number,
): Flow | undefined {
  const [start, end] = [from && numberOf(from), to && numberOf(to)]
  if (start === undefined || end === undefined || step === 0) return undefined
  const places = placesOf(values.length, start, end, step)
  return knownList(places.map((place) => values[place] ?? ONE))
}

/** Positions of a slice, counted as in numpy. */
function placesOf(size: number, start: number, end: number, step: number): readonly number[] {
  const first = boundOf(size, start, step)
  const count = countOfPlaces(size, start, end, step)
  return Array.from({ length: count }, (_, index) => first + index * step)
}

function countOfPlaces(size: number, start: number, end: number, step: number): number {
  const length = boundOf(size, end, step) - boundOf(size, start, step)
  return Math.max(0, Math.ceil(length / step))
}

function boundOf(size: number, value: number, step: number): number {
  const [least, most] = step > 0 ? [0, size] : [-1, size - 1]
  return Math.min(Math.max(value < 0 ? value + size : value, least), most)
}

function slicedSize(
  node: NodeView,
  size: Dim,
  start: Dim,
  { end, step }: { end: Dim; step: number },
): Dim {
  const [whole, from, to] = [size, start, end].map(numberOf)
  if (whole !== undefined && from !== undefined && to !== undefined && step !== 0) {
    return fixedDim(countOfPlaces(whole, from, to, step))
  }
  if (from === 0 && to === 1 && isPositive(size)) return ONE
  const isPrefix = from === 0 && step === 1 && isPositive(end)
  return isPrefix ? node.names.smaller(size, end) : node.names.fresh()
}

/** The highest or lowest elements along an axis, and their positions on it. */
export const topK: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind === 'fixed') return [fixed(), fixed()]
  const { shape, axis: own } = node.batchedInput(0)
  const axis = normalAxis(node.number('axis', -1), shape.length)
  if (axis === own) throw new NotProved('ranks over the batch dimension')
  const isOld = node.version < 10
  const wanted = isOld ? node.number('k', 1) : countOf(node.inputs[1])
  const size = wanted === undefined ? node.names.fresh() : fixedDim(wanted)
  const result = batched(shape.with(axis, size), own)
  return [result, result]
}

function countOf(input: Inflow | undefined): number | undefined {
  if (input?.kind !== 'fixed' || input.values === undefined) return undefined
  const [count] = input.values
  return count && numberOf(count)
}

/** Adds an axis with one position for each possible index. */
export const oneHot: Rule = (node) => {
  node.requireFixed(0)
  const indices = node.input(0)
  if (indices.kind === 'fixed') return [fixed()]
  const { shape, axis: own } = node.batchedInput(0)
  const axis = normalAxis(node.number('axis', -1), shape.length + 1)
  const depth = countOf(node.inputs[1])
  const size = depth === undefined ? node.names.fresh() : fixedDim(depth)
  return [batched(shape.toSpliced(axis, 0, size), own < axis ? own : own + 1)]
}

/** Consecutive numbers. Their count must not depend on the batch size. */
export const range: Rule = (node) => {
  const [start, limit, step] = [0, 1, 2].map((index) => node.values(index)?.[0])
  if (start === undefined || limit === undefined || step === undefined) {
    throw new NotProved('computes its bounds at run time')
  }
  if ([start, limit, step].some(hasBatch))
    throw new NotProved('creates a range over the batch dimension')
  const [first, end, by] = [start, limit, step].map(numberOf)
  if (first !== undefined && end !== undefined && by !== undefined && by !== 0) {
    const count = Math.max(0, Math.ceil((end - first) / by))
    const isShort = count <= 64
    if (!isShort) return [fixed([fixedDim(count)])]
    return [knownList(Array.from({ length: count }, (_, index) => fixedDim(first + index * by)))]
  }
  return [fixed([first === 0 && by === 1 && isPositive(limit) ? limit : node.names.fresh()])]
}
