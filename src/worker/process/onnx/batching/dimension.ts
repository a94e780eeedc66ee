/**
 * Sizes as the proof of batching sees them: a number times named unknowns, such as `batch*12` or
 * `sequence*64`. An unknown other than the batch is the same for all requests of one run.
 */
import { NotProved } from './not-proved.ts'

/** `factor` times the product of `symbols`, which are sorted. */
export interface Dim {
  readonly factor: number
  readonly symbols: readonly string[]
}

/** The number of samples in a run: the one size that changes when requests are joined. */
const BATCH_SYMBOL = '*batch*'
/** No tensor has as many dimensions. */
const MAX_SYMBOLS = 64
/** Longer names of derived sizes are cut; equal sizes may then count as different, never the reverse. */
const MAX_NAME_LENGTH = 120

export const BATCH: Dim = { factor: 1, symbols: [BATCH_SYMBOL] }
export const ONE: Dim = { factor: 1, symbols: [] }

export function fixedDim(value: number): Dim {
  return { factor: value, symbols: [] }
}

/** A size that is known by name only, and above 0. */
export function namedDim(name: string): Dim {
  return { factor: 1, symbols: [name] }
}

/** The value, where it is a plain number. */
export function numberOf({ factor, symbols }: Dim): number | undefined {
  return symbols.length === 0 || factor === 0 ? factor : undefined
}

export function isOne(dim: Dim): boolean {
  return dim.symbols.length === 0 && dim.factor === 1
}

export function hasBatch({ symbols }: Dim): boolean {
  return symbols.includes(BATCH_SYMBOL)
}

/** The batch once: a size that grows in step with the batch. */
export function isMultipleOfBatch({ factor, symbols }: Dim): boolean {
  return factor > 0 && symbols.filter((symbol) => symbol === BATCH_SYMBOL).length === 1
}

/** Above 0 whatever the unknowns are: they are sizes of tensors that are not empty. */
export function isPositive(dim: Dim): boolean {
  return dim.factor > 0 && Number.isInteger(dim.factor) && !dim.symbols.some(isAnyNumber)
}

export function sameDim(one: Dim, other: Dim): boolean {
  return (
    one.factor === other.factor &&
    (one.factor === 0 ||
      (one.symbols.length === other.symbols.length &&
        one.symbols.every((symbol, index) => symbol === other.symbols[index])))
  )
}

/** @throws NotProved for a product of very many unknowns. */
export function times(one: Dim, other: Dim): Dim {
  if (one.symbols.length + other.symbols.length > MAX_SYMBOLS) {
    throw new NotProved('computes with too many sizes')
  }
  return {
    factor: one.factor * other.factor,
    symbols: [...one.symbols, ...other.symbols].toSorted(),
  }
}

export function productOf(dims: readonly Dim[]): Dim {
  return dims.reduce(times, ONE)
}

/** The exact quotient; `undefined` where it may leave a rest. */
export function divided(dividend: Dim, divisor: Dim): Dim | undefined {
  const factor = dividend.factor / divisor.factor
  if (!Number.isInteger(factor)) return undefined
  const symbols = [...dividend.symbols]
  for (const symbol of divisor.symbols) {
    const index = symbols.indexOf(symbol)
    if (index === -1) return undefined
    symbols.splice(index, 1)
  }
  return { factor, symbols }
}

export function dimText({ factor, symbols }: Dim): string {
  if (symbols.length === 0) return String(factor)
  return factor === 1 ? symbols.join('*') : [factor, ...symbols].join('*')
}

/** Names sizes that are computed. One for each proof, so that equal sizes get equal names. */
export class DimNames {
  /** Names of smaller-of-two sizes, with the sizes that they do not exceed. */
  readonly #bounds = new Map<string, readonly Dim[]>()
  #count = 0

  /** A size that no rule can say more of than that it is fixed. */
  fresh(): Dim {
    this.#count++
    return namedDim(`size${this.#count}`)
  }

  /** A number, perhaps negative, that is fixed. */
  freshNumber(): Dim {
    this.#count++
    return namedDim(`?${this.#count}`)
  }

  /**
   * A size that depends on others in the way that `text` describes, which must not hold the batch. With `?` in
   * front it may be any number.
   */
  derived(text: string): Dim {
    if (text.length <= MAX_NAME_LENGTH) return namedDim(text)
    return isAnyNumber(text) ? this.freshNumber() : this.fresh()
  }

  smaller(one: Dim, other: Dim): Dim {
    const [first, second] = [numberOf(one), numberOf(other)]
    if (first !== undefined && second !== undefined) return fixedDim(Math.min(first, second))
    if (sameDim(one, other)) return one
    const dim = this.derived(`min(${dimText(one)},${dimText(other)})`)
    this.#bounds.set(dimText(dim), [one, other])
    return dim
  }

  /**
   * The size of an axis on which both tensors of an elementwise operator are broadcast. Where it is not known
   * which of them is 1, a name of its own.
   */
  broadcast(one: Dim, other: Dim): Dim {
    if (sameDim(one, other) || isOne(other)) return one
    if (isOne(one)) return other
    const [first, second] = [numberOf(one), numberOf(other)]
    // A number other than 1 is the size, or the run fails.
    if (first !== undefined) return one
    if (second !== undefined) return other
    // min(a, b) against a: were it not a, it would have to be 1.
    if (this.#isBoundedBy(one, other)) return other
    if (this.#isBoundedBy(other, one)) return one
    return this.derived(`max(${[dimText(one), dimText(other)].toSorted().join(',')})`)
  }

  #isBoundedBy(smaller: Dim, bound: Dim): boolean {
    return this.#bounds.get(dimText(smaller))?.some((dim) => sameDim(dim, bound)) === true
  }
}

function isAnyNumber(symbol: string): boolean {
  return symbol.startsWith('?')
}
