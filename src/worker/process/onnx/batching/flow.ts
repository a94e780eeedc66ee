/** How the batch runs through the tensors of a graph: what the rules of the operators compute with. */
import { fixedDim, hasBatch, numberOf } from './dimension.ts'
import type { Dim } from './dimension.ts'
import { NotProved } from './not-proved.ts'

export type Shape = readonly Dim[]

/** The same in every run: weights, and what depends on the sizes of one sample only. */
export interface Fixed {
  readonly kind: 'fixed'
  /** `undefined` where not even the number of dimensions is known. */
  readonly shape: Shape | undefined
  /** The elements in their order, where they are known. */
  readonly values: readonly Dim[] | undefined
}

/** Numbers that depend on the size of the batch in a known way, such as the shape of an input. */
export interface Sized {
  readonly kind: 'sized'
  readonly shape: Shape
  readonly values: readonly Dim[]
}

/**
 * Depends on the requests. In a joined run it is those of the single runs, one after the other along `axis`;
 * the size of that axis grows in step with the batch, and no other size depends on the batch.
 */
export interface Batched {
  readonly kind: 'batched'
  readonly shape: Shape
  readonly axis: number
}

/** Not proved to be anything of these. */
export interface Mixed {
  readonly kind: 'mixed'
  /** A sentence for the operator of the server. */
  readonly reason: string
}

export type Flow = Fixed | Sized | Batched | Mixed

/** Longer lists are no shapes; a graph that doubles a list again and again must not fill the memory. */
const MAX_VALUES = 4096

export function fixed(shape?: Shape): Fixed {
  return { kind: 'fixed', shape, values: undefined }
}

export function batched(shape: Shape, axis: number): Batched {
  return { kind: 'batched', shape, axis }
}

/** A tensor of known elements. @throws NotProved for a long list with the size of the batch in it. */
export function known(shape: Shape, values: readonly Dim[]): Fixed | Sized {
  const hasSize = values.some(hasBatch)
  if (values.length > MAX_VALUES) {
    if (hasSize) throw new NotProved('makes a long list of sizes')
    return fixed(shape)
  }
  return hasSize ? { kind: 'sized', shape, values } : { kind: 'fixed', shape, values }
}

/** A list of known numbers. */
export function knownList(values: readonly Dim[]): Fixed | Sized {
  return known([fixedDim(values.length)], values)
}

/** All elements of a tensor that has one; `undefined` for others. */
export function elementCount(shape: Shape): number | undefined {
  let count = 1
  for (const dim of shape) {
    const size = numberOf(dim)
    if (size === undefined) return undefined
    count *= size
  }
  return count
}
