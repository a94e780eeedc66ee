import type { AttributeValue, GraphNode, StoredTensor } from '../graph/graph.ts'
/** A node of the graph for the rules: the flows of its inputs, and its attributes. */
import { fixedDim, numberOf } from './dimension.ts'
import type { Dim, DimNames } from './dimension.ts'
import type { Batched, Fixed, Flow, Shape, Sized } from './flow.ts'
import { NotProved } from './not-proved.ts'

/** The flow of an input. A rule gets only inputs with a known flow. */
export type Inflow = Fixed | Sized | Batched

/**
 * Computes the flows of an operator's outputs from its inputs: one for each output that the rule
 * covers.
 * @throws NotProved when the operator is not proved to keep requests apart.
 */
export type Rule = (node: NodeView) => readonly Flow[]

export class NodeView {
  readonly operator: string
  /** Version of the operator set. */
  readonly version: number
  readonly names: DimNames
  readonly outputCount: number
  /** `undefined` for an optional input that is left out. */
  readonly inputs: readonly (Inflow | undefined)[]
  readonly #attributes: ReadonlyMap<string, AttributeValue>

  constructor(
    { operator, outputs, attributes }: GraphNode,
    inputs: readonly (Inflow | undefined)[],
    version: number,
    names: DimNames,
  ) {
    this.operator = operator
    this.outputCount = outputs.length
    this.inputs = inputs
    this.version = version
    this.names = names
    this.#attributes = attributes
  }

  /** True when no input depends on the requests or on their number. */
  get isFixed(): boolean {
    return this.inputs.every((input) => input === undefined || input.kind === 'fixed')
  }

  /** The inputs that are present. */
  get given(): readonly Inflow[] {
    return this.inputs.filter((input) => input !== undefined)
  }

  /** @throws NotProved when the input is left out. */
  input(index: number): Inflow {
    const input = this.inputs[index]
    if (input === undefined) throw new NotProved(`has no input ${index}`)
    return input
  }

  /**
   * An input that depends on the requests.
   * @throws NotProved when it does not.
   */
  batchedInput(index: number): Batched {
    const input = this.input(index)
    if (input.kind !== 'batched')
      throw new NotProved('has an input that should depend on the request, but does not')
    return input
  }

  /** @throws NotProved when any other input depends on the requests or their number. */
  requireFixed(...others: readonly number[]): void {
    for (const [index, input] of this.inputs.entries()) {
      if (input === undefined || input.kind === 'fixed' || others.includes(index)) continue
      throw new NotProved(`has an input ${index} that depends on the requests`)
    }
  }

  /**
   * The known elements of an input; `undefined` when it is left out.
   * @throws NotProved when they are unknown.
   */
  values(index: number): readonly Dim[] | undefined {
    const input = this.inputs[index]
    if (input === undefined) return undefined
    if (input.kind === 'batched' || input.values === undefined) {
      throw new NotProved(`has an input ${index} that is computed at run time`)
    }
    return input.values
  }

  /**
   * The elements of an input as plain numbers; `undefined` when it is left out.
   * @throws NotProved when they are unknown.
   */
  numbers(index: number): readonly number[] | undefined {
    return this.values(index)?.map((value) => {
      const number = numberOf(value)
      if (number === undefined)
        throw new NotProved(`has an input ${index} that is computed at run time`)
      return number
    })
  }

  has(name: string): boolean {
    return this.#attributes.has(name)
  }

  /** @throws NotProved when the attribute is not a number. */
  number(name: string, absent: number): number {
    const value = this.#attributes.get(name)
    if (value === undefined) return absent
    if (value.kind === 'number') return value.value
    throw unreadable(name)
  }

  /** @throws NotProved when the attribute is not a list of numbers. */
  list(name: string): readonly number[] | undefined {
    const value = this.#attributes.get(name)
    if (value === undefined) return undefined
    if (value.kind === 'numbers') return value.values
    throw unreadable(name)
  }

  /**
   * Length of a list of texts or numbers; 0 when it is absent, `undefined` when it was too long to
   * count.
   */
  countOf(name: string): number | undefined {
    const value = this.#attributes.get(name)
    if (value === undefined) return 0
    if (value.kind === 'texts') return value.count
    return value.kind === 'numbers' ? value.values.length : undefined
  }

  /** @throws NotProved when the attribute is not a text. */
  text(name: string, absent: string): string {
    const value = this.#attributes.get(name)
    if (value === undefined) return absent
    if (value.kind === 'text') return value.text
    throw unreadable(name)
  }

  tensor(name: string): StoredTensor | undefined {
    const value = this.#attributes.get(name)
    return value?.kind === 'tensor' ? value.tensor : undefined
  }

  /**
   * Axes from an attribute or, in newer operator sets, from an input; `undefined` when both are
   * absent.
   */
  axes(attribute: string, input: number): readonly number[] | undefined {
    return this.has(attribute) ? this.list(attribute) : this.numbers(input)
  }
}

/**
 * The shape of an input.
 * @throws NotProved when it is unknown.
 */
export function shapeOf(input: Inflow): Shape {
  if (input.shape === undefined) throw new NotProved('has an input of unknown shape')
  return input.shape
}

/**
 * The axis counted from the front; a negative axis counts from the end.
 * @throws NotProved when the axis does not exist.
 */
export function normalAxis(axis: number, rank: number): number {
  const index = axis < 0 ? axis + rank : axis
  if (Number.isInteger(index) && index >= 0 && index < rank) return index
  throw new NotProved('has an axis that its input does not have')
}

export function storedShape({ dims }: StoredTensor): Shape | undefined {
  return dims?.map(fixedDim)
}

function unreadable(name: string): NotProved {
  return new NotProved(`has an attribute "${name}" that cannot be read`)
}
