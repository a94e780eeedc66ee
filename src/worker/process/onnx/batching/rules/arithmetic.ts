/**
 * Rules of elementwise operators that also compute with known numbers, such as the sizes of a
 * shape.
 */
import {
  dimText,
  divided,
  fixedDim,
  hasBatch,
  isPositive,
  numberOf,
  sameDim,
  times,
} from '../dimension.ts'
import type { Dim, DimNames } from '../dimension.ts'
import { known } from '../flow.ts'
import type { Flow, Shape } from '../flow.ts'
import type { Inflow, NodeView, Rule } from '../node-view.ts'
import { broadcast } from './elementwise.ts'

/** Computes one element of the result; `undefined` when it is unknown. */
type Compute = (operands: readonly Dim[], names: DimNames) => Dim | undefined

/** ONNX's numbers of datatypes that can hold any size: FLOAT, INT32, INT64, DOUBLE. */
const EXACT_TYPES: readonly number[] = [1, 6, 7, 11]
const BOOL = 9
const TRUE = fixedDim(1)
const FALSE = fixedDim(0)

/** Elementwise; the result is exact for known numbers. */
export function arithmetic(compute: Compute): Rule {
  return (node) => [computeKnown(node, compute) ?? broadcast(node.given, node.names)]
}

export const add = arithmetic(([a, b], names) => a && b && sum(a, b, 1, names))
export const subtract = arithmetic(([a, b], names) => a && b && sum(a, b, -1, names))
export const multiply = arithmetic(([a, b]) => a && b && times(a, b))

export const divide = arithmetic(([a, b]) => a && b && divided(a, b))
export const equal = arithmetic(([a, b]) => {
  if (a === undefined || b === undefined) return undefined
  if (sameDim(a, b)) return TRUE
  const [first, second] = [numberOf(a), numberOf(b)]
  if (first !== undefined && second !== undefined) return first === second ? TRUE : FALSE
  // A size is above 0, even when it is unknown.
  const isBelow = (dim: number | undefined): boolean => dim !== undefined && dim <= 0
  return (isPositive(a) && isBelow(second)) || (isPositive(b) && isBelow(first)) ? FALSE : undefined
})

export const where = arithmetic(([condition, a, b]) => {
  const truth = condition && numberOf(condition)
  if (truth !== undefined) return truth === 0 ? b : a
  return a !== undefined && b !== undefined && sameDim(a, b) ? a : undefined
})

export const negate = arithmetic(([a]) => a && { ...a, factor: -a.factor })
export const smallest = arithmetic((operands) => choose(operands, Math.min))
export const largest = arithmetic((operands) => choose(operands, Math.max))
export const floor = arithmetic(([a]) => a && rounded(a, Math.floor))
export const ceil = arithmetic(([a]) => a && rounded(a, Math.ceil))
export const identity = arithmetic(([a]) => a)

/** Known numbers keep their values if the datatype can hold them. */
export const cast: Rule = (node) => {
  const type = node.number('to', 0)
  const convert: Compute = ([a]) => {
    if (a === undefined || EXACT_TYPES.includes(type)) return a && rounded(a, Math.trunc)
    if (type !== BOOL) return undefined
    const number = numberOf(a)
    if (number !== undefined) return number === 0 ? FALSE : TRUE
    return isPositive(a) ? TRUE : undefined
  }
  const isReal = type === 1 || type === 11
  return arithmetic(isReal ? ([a]) => a : convert)(node)
}

function sum(a: Dim, b: Dim, sign: 1 | -1, names: DimNames): Dim | undefined {
  if (a.factor === 0) return { ...b, factor: sign * b.factor }
  if (b.factor === 0) return a
  const isAlike = sameDim({ ...a, factor: 1 }, { ...b, factor: 1 })
  if (isAlike) return { ...a, factor: a.factor + sign * b.factor }
  if (hasBatch(a) || hasBatch(b)) return undefined
  return names.derived(`?(${dimText(a)})${sign < 0 ? '-' : '+'}(${dimText(b)})`)
}

function choose(
  operands: readonly Dim[],
  pick: (...numbers: readonly number[]) => number,
): Dim | undefined {
  const numbers = operands.map(numberOf).filter((number) => number !== undefined)
  return numbers.length === operands.length ? fixedDim(pick(...numbers)) : undefined
}

function rounded(dim: Dim, round: (value: number) => number): Dim | undefined {
  const number = numberOf(dim)
  if (number !== undefined) return fixedDim(round(number))
  return isPositive(dim) ? dim : undefined
}

/**
 * Returns the result when all operands are known lists; `undefined` when an element that depends on
 * the batch size would become unknown.
 */
function computeKnown(node: NodeView, compute: Compute): Flow | undefined {
  const shape = commonShape(node.given)
  if (shape === undefined) return undefined
  const length = Math.max(...node.given.map((input) => valuesOf(input).length))
  const values: Dim[] = []
  for (let index = 0; index < length; index++) {
    const operands = node.given.map((input) => elementOf(valuesOf(input), index))
    const value = compute(operands, node.names)
    if (value === undefined) {
      if (operands.some(hasBatch)) return undefined
      values.push(node.names.freshNumber())
    } else values.push(value)
  }
  return known(shape, values)
}

/**
 * The shape of the result, if all operands with more than one element have the same shape;
 * otherwise `undefined`.
 */
function commonShape(inputs: readonly Inflow[]): Shape | undefined {
  let shape: Shape | undefined
  let count = 0
  for (const input of inputs) {
    if (input.kind === 'batched' || input.values === undefined || input.shape === undefined) {
      return undefined
    }
    const isAlike = shape !== undefined && sameShape(input.shape, shape)
    if (shape !== undefined && !isAlike && Math.min(count, input.values.length) !== 1) {
      return undefined
    }
    const isLarger = input.values.length > count
    if (shape === undefined || isLarger || input.shape.length > shape.length) {
      if (!isLarger && count > 1) return undefined
      if (shape !== undefined && input.shape.length < shape.length) return undefined
      shape = input.shape
      count = input.values.length
    }
  }
  return count === 0 ? undefined : shape
}

function sameShape(one: Shape, other: Shape): boolean {
  return (
    one.length === other.length &&
    one.every((dim, axis) => other[axis] !== undefined && sameDim(dim, other[axis]))
  )
}

function valuesOf(input: Inflow): readonly Dim[] {
  return input.kind === 'batched' ? [] : (input.values ?? [])
}

function elementOf(values: readonly Dim[], index: number): Dim {
  return values[values.length === 1 ? 0 : index] ?? FALSE
}
