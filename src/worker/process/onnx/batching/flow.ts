/**
 * Describes how the batch flows through the tensors of a graph. The rules of the operators compute
 * with these values.
 */
import { fixedDim, hasBatch, numberOf } from './dimension.ts'
import type { Dim } from './dimension.ts'
import { NotProved } from './not-proved.ts'

export type Shape = readonly Dim[]

/** The same in every run: weights, and values that depend only on the sizes of one sample. */
export interface Fixed {
  readonly kind: 'fixed'
  /** `undefined` when even the number of dimensions is unknown. */
  readonly shape: Shape | undefined
  /** The elements in order, if they are known. */
  readonly values: readonly Dim[] | undefined
}

/** Numbers that depend on the batch size in a known way, such as the shape of an input. */
export interface Sized {
  readonly kind: 'sized'
  readonly shape: Shape
  readonly values: readonly Dim[]
}

/**
 * Depends on the requests. In a joined run it is the concatenation of the single runs' tensors
 * along `axis`. The size of that axis grows in proportion to the batch size; no other size depends
 * on it.
 */
export interface Batched {
  readonly kind: 'batched'
  readonly shape: Shape
  readonly axis: number
}

/** Not proved to be fixed, sized or batched. */
export interface Mixed {
  readonly kind: 'mixed'
  /** A sentence for the server's operator. */
  readonly reason: string
}

export type Flow = Fixed | Sized | Batched | Mixed

/**
 * Longer lists are not shapes. The limit protects the memory from a graph that doubles a list
 * repeatedly.
 */
const MAX_VALUES = 4096

export function fixed(shape?: Shape): Fixed {
  return { kind: 'fixed', shape, values: undefined }
}

export function batched(shape: Shape, axis: number): Batched {
  return { kind: 'batched', shape, axis }
}

/**
 * A tensor of known elements.
 * @throws NotProved when a long list contains the batch size.
 */
export function known(shape: Shape, values: readonly Dim[]): Fixed | Sized {
  const hasSize = values.some(hasBatch)
  if (values.length > MAX_VALUES) {
    if (hasSize) throw new NotProved('builds a list of too many sizes')
    return fixed(shape)
  }
  return hasSize ? { kind: 'sized', shape, values } : { kind: 'fixed', shape, values }
}

/** A list of known numbers. */
export function knownList(values: readonly Dim[]): Fixed | Sized {
  return known([fixedDim(values.length)], values)
}

/** The number of elements; `undefined` when it is unknown. */
export function elementCount(shape: Shape): number | undefined {
  let count = 1
  for (const dim of shape) {
    const size = numberOf(dim)
    if (size === undefined) return undefined
    count *= size
  }
  return count
}
