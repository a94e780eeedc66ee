/**
 * Rules of matrix products. The batch may be an axis of the product, but not an axis that is summed
 * over.
 */
import { hasBatch, isOne, sameDim } from '../dimension.ts'
import type { Dim } from '../dimension.ts'
import { batched, elementCount, fixed } from '../flow.ts'
import type { Flow, Shape } from '../flow.ts'
import { shapeOf } from '../node-view.ts'
import type { Inflow, NodeView, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'
import { broadcast } from './elementwise.ts'

/**
 * `MatMul`, and operators that multiply their first two inputs like it; their other inputs are
 * settings.
 */
export const matrixProduct: Rule = (node) => {
  node.requireFixed(0, 1)
  return [product(node, node.input(0), node.input(1))]
}

/**
 * Product of quantized numbers. A factor with the batch must have one scale and one zero point for
 * all elements.
 * @param second Index of the second factor.
 * @param firstSettings Indices of the first factor's scales and zero points.
 * @param secondSettings Indices of the second factor's scales and zero points.
 */
export function quantisedProduct(
  second: number,
  firstSettings: readonly number[],
  secondSettings: readonly number[],
): Rule {
  return (node) => {
    node.requireFixed(0, second)
    const [a, b] = [node.input(0), node.input(second)]
    const settings = [
      ...(a.kind === 'batched' ? firstSettings : []),
      ...(b.kind === 'batched' ? secondSettings : []),
    ]
    for (const index of settings) requireOneElement(node, index)
    return [product(node, a, b)]
  }
}

/** @throws NotProved when the input is present and does not have exactly one element. */
export function requireOneElement(node: NodeView, index: number): void {
  const input = node.inputs[index]
  if (input === undefined) return
  if (input.kind === 'fixed' && elementCount(shapeOf(input)) === 1) return
  throw new NotProved('has a different scale or zero point for each request of a batch')
}

/** `FusedMatMul`: swaps the last two axes of an input when its attribute says so. */
export const fusedProduct: Rule = (node) => {
  if (node.number('transBatchA', 0) !== 0 || node.number('transBatchB', 0) !== 0) {
    throw new NotProved('moves the batch to a different dimension')
  }
  node.requireFixed(0, 1)
  const a = node.number('transA', 0) === 0 ? node.input(0) : transposed(node.input(0))
  const b = node.number('transB', 0) === 0 ? node.input(1) : transposed(node.input(1))
  return [product(node, a, b)]
}

/** `A * B + C` of matrices. */
export const gemm: Rule = (node) => {
  const a = node.number('transA', 0) === 0 ? node.input(0) : transposed(node.input(0))
  const b = node.number('transB', 0) === 0 ? node.input(1) : transposed(node.input(1))
  if (a.shape?.length !== 2 || b.shape?.length !== 2)
    throw new NotProved('has inputs that are not matrices')
  const result = product(node, a, b)
  const c = node.inputs[2]
  if (c === undefined) return [result]
  return [withAddend(node, result, c)]
}

/** The addend is broadcast to the product and must not have more axes. */
function withAddend(node: NodeView, result: Inflow, addend: Inflow): Flow {
  if (addend.kind === 'fixed' && result.kind === 'fixed') return fixed(result.shape)
  if (shapeOf(addend).length > shapeOf(result).length)
    throw new NotProved('adds a tensor of a higher rank than its result')
  return broadcast([result, addend], node.names)
}

function product(node: NodeView, a: Inflow, b: Inflow): Inflow {
  if (a.kind === 'sized' || b.kind === 'sized') {
    throw new NotProved('depends on the batch size')
  }
  const areFixed = a.kind === 'fixed' && b.kind === 'fixed'
  if (areFixed && (a.shape === undefined || b.shape === undefined)) return fixed()
  const [left, right] = [shapeOf(a), shapeOf(b)]
  if (left.length < 2 || right.length < 2) {
    if (areFixed) return fixed()
    return vectorProduct(a, b)
  }
  const rank = Math.max(left.length, right.length)
  const axes = [a, b].map((input) => stackAxis(input, rank))
  const shape: Dim[] = []
  for (let index = 0; index < rank - 2; index++) {
    const dims = [a, b].map((input) => shapeOf(input)[index - (rank - shapeOf(input).length)])
    shape.push(stackSize(node, [a, b], dims, index === axes[0] || index === axes[1]))
  }
  const [rows, columns] = [left.at(-2), right.at(-1)]
  if (rows !== undefined && columns !== undefined) shape.push(rows, columns)
  if (areFixed) return fixed(shape)
  return batched(shape, productAxis(a, b, axes, rank))
}

/**
 * The axis of the product that has the batch.
 * @throws NotProved when it is summed over, or when two axes have the batch.
 */
function productAxis(
  a: Inflow,
  b: Inflow,
  axes: readonly (number | undefined)[],
  rank: number,
): number {
  const [left, right] = axes
  const summed = new NotProved('sums over the batch dimension')
  if (left !== undefined && right !== undefined) {
    if (left === rank - 1 || right === rank - 2) throw summed
    if (left === right && left < rank - 2) return left
    throw new NotProved('multiplies each request with all others')
  }
  if (a.kind === 'batched' && left !== undefined) {
    if (left === rank - 1) throw summed
    return left
  }
  if (b.kind === 'batched' && right !== undefined) {
    if (right === rank - 2) throw summed
    return right
  }
  throw summed
}

/** The axis of the batch, counted in the product; `undefined` without a batch. */
function stackAxis(input: Inflow, rank: number): number | undefined {
  return input.kind === 'batched' ? input.axis + rank - input.shape.length : undefined
}

function stackSize(
  node: NodeView,
  inputs: readonly Inflow[],
  dims: readonly (Dim | undefined)[],
  isBatch: boolean,
): Dim {
  const given = dims.filter((dim) => dim !== undefined)
  if (!isBatch) return given.reduce((one, other) => node.names.broadcast(one, other))
  const batches = given.filter(hasBatch)
  const [size, ...others] = batches
  const rest = given.filter((dim) => !hasBatch(dim))
  if (size === undefined || !rest.every(isOne) || inputs.length === 0) {
    throw new NotProved('has a different matrix for each request of a batch')
  }
  if (others.every((other) => sameDim(other, size))) return size
  throw new NotProved('combines batches of different sizes')
}

/** A product in which the second factor has a single axis, which is summed over. */
function vectorProduct(a: Inflow, b: Inflow): Inflow {
  const summed = new NotProved('sums over the batch dimension')
  const [left, right] = [shapeOf(a), shapeOf(b)]
  if (a.kind === 'batched' && b.kind === 'fixed' && right.length === 1) {
    if (a.axis >= left.length - 1) throw summed
    return batched(left.slice(0, -1), a.axis)
  }
  throw new NotProved('multiplies by a vector in a way that the proof does not support')
}

/** @throws NotProved when the input has fewer than two axes. */
function transposed(input: Inflow): Inflow {
  if (input.kind === 'fixed' && input.shape === undefined) return input
  const shape = shapeOf(input)
  const [rows, columns] = shape.slice(-2)
  if (rows === undefined || columns === undefined || input.kind === 'sized') {
    throw new NotProved('transposes an input that is not a matrix')
  }
  const exchanged: Shape = [...shape.slice(0, -2), columns, rows]
  if (input.kind === 'fixed') return fixed(exchanged)
  const rank = shape.length
  const axis = input.axis === rank - 1 ? rank - 2 : input.axis === rank - 2 ? rank - 1 : input.axis
  return batched(exchanged, axis)
}

/** `Einsum`: the requests must stay separate along one letter. */
export const einsum: Rule = (node) => {
  const equation = node.text('equation', '').replaceAll(' ', '')
  const match = /^([a-zA-Z]*(?:,[a-zA-Z]*)*)->([a-zA-Z]*)$/.exec(equation)
  if (match === null) throw new NotProved(`has an equation that is not followed`)
  const terms = (match[1] ?? '').split(',')
  const result = match[2] ?? ''
  if (node.isFixed) return [fixed()]
  const sizes = new Map<string, Dim>()
  const letters = new Set<string>()
  for (const [index, term] of terms.entries()) {
    const input = node.input(index)
    const shape = shapeOf(input)
    if (shape.length !== term.length || new Set(term).size !== term.length) {
      throw new NotProved('has an equation that the proof does not support')
    }
    if (input.kind === 'batched') letters.add(term[input.axis] ?? '')
    for (const [axis, letter] of term.split('').entries()) {
      const [size, before] = [shape[axis], sizes.get(letter)]
      if (size !== undefined) {
        sizes.set(letter, before === undefined ? size : sharedSize(node, before, size))
      }
    }
  }
  const [letter = '', ...others] = letters
  const isApart = terms.every((term, index) => {
    const input = node.input(index)
    return !term.includes(letter) || (input.kind === 'batched' && term[input.axis] === letter)
  })
  const axis = result.indexOf(letter)
  if (others.length > 0 || axis === -1 || !isApart || node.given.some(isSized)) {
    throw new NotProved('combines each request with all others')
  }
  return [
    batched(
      result.split('').map((one) => sizes.get(one) ?? node.names.fresh()),
      axis,
    ),
  ]
}

function sharedSize(node: NodeView, one: Dim, other: Dim): Dim {
  if (hasBatch(one) === hasBatch(other) && (!hasBatch(one) || sameDim(one, other))) {
    return node.names.broadcast(one, other)
  }
  throw new NotProved('combines each request with all others')
}

function isSized({ kind }: Inflow): boolean {
  return kind === 'sized'
}
