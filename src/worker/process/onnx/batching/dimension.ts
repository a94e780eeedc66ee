/**
 * Sizes in the proof of batching: a number times named unknowns, such as `batch*12` or
 * `sequence*64`. All unknowns except the batch size are equal for all requests of one run.
 */
import { NotProved } from './not-proved.ts'

/** `factor` times the product of `symbols`, which are sorted. */
export interface Dim {
  readonly factor: number
  readonly symbols: readonly string[]
}

/** The number of samples in a run: the only size that changes when requests are joined. */
const BATCH_SYMBOL = '*batch*'
/** Limit that no real tensor reaches. */
const MAX_SYMBOLS = 64
/**
 * Longer names of derived sizes are replaced by a new name. Equal sizes may then count as
 * different, but different sizes never count as equal.
 */
const MAX_NAME_LENGTH = 120

export const BATCH: Dim = { factor: 1, symbols: [BATCH_SYMBOL] }
export const ONE: Dim = { factor: 1, symbols: [] }

export function fixedDim(value: number): Dim {
  return { factor: value, symbols: [] }
}

/** A size above 0 of which only the name is known. */
export function namedDim(name: string): Dim {
  return { factor: 1, symbols: [name] }
}

/** The value, if it is a plain number. */
export function numberOf({ factor, symbols }: Dim): number | undefined {
  return symbols.length === 0 || factor === 0 ? factor : undefined
}

export function isOne(dim: Dim): boolean {
  return dim.symbols.length === 0 && dim.factor === 1
}

export function hasBatch({ symbols }: Dim): boolean {
  return symbols.includes(BATCH_SYMBOL)
}

/**
 * Whether the size grows in proportion to the batch size, so it contains that factor exactly once.
 */
export function isMultipleOfBatch({ factor, symbols }: Dim): boolean {
  return factor > 0 && symbols.filter((symbol) => symbol === BATCH_SYMBOL).length === 1
}

/**
 * Whether the size is above 0 for any values of the unknowns. They are sizes of tensors that are
 * not empty.
 */
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

/** @throws NotProved when the product has too many unknowns. */
export function times(one: Dim, other: Dim): Dim {
  if (one.symbols.length + other.symbols.length > MAX_SYMBOLS) {
    throw new NotProved('has too many symbolic sizes')
  }
  return {
    factor: one.factor * other.factor,
    symbols: [...one.symbols, ...other.symbols].toSorted(),
  }
}

export function productOf(dims: readonly Dim[]): Dim {
  return dims.reduce(times, ONE)
}

/** The exact quotient; `undefined` when a remainder is possible. */
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

/**
 * Names the sizes that are computed. Each proof has one instance, so that equal sizes get equal
 * names.
 */
export class DimNames {
  /** Names of the smaller of two sizes, each with the two sizes that it does not exceed. */
  readonly #bounds = new Map<string, readonly Dim[]>()
  #count = 0

  /** A size of which the rules know only that it is fixed. */
  fresh(): Dim {
    this.#count++
    return namedDim(`size${this.#count}`)
  }

  /** A fixed number, which may be negative. */
  freshNumber(): Dim {
    this.#count++
    return namedDim(`?${this.#count}`)
  }

  /**
   * A size that depends on others as `text` describes; `text` must not contain the batch size. If
   * it starts with `?`, the size may be any number.
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
   * The size of an axis after broadcasting, for an elementwise operator. It gets its own name when
   * it is unknown which of the two sizes is 1.
   */
  broadcast(one: Dim, other: Dim): Dim {
    if (sameDim(one, other) || isOne(other)) return one
    if (isOne(one)) return other
    const [first, second] = [numberOf(one), numberOf(other)]
    // If a size is a number other than 1, the result has this size or the run fails.
    if (first !== undefined) return one
    if (second !== undefined) return other
    // min(a, b) and a: if min(a, b) is not a, it must be 1, or the run fails.
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
