import { ServerError } from '../../../../errors.ts'
import { countText, quote, specListText } from './error-text.ts'
import type { TensorSpec } from './metadata.ts'
import { checkBatch } from './shape.ts'
import type { Tensor } from './tensor.ts'

/** The model's inputs by name. */
export class InputTable {
  readonly specs: readonly TensorSpec[]
  readonly #positions: ReadonlyMap<string, number>

  constructor(specs: readonly TensorSpec[]) {
    this.specs = specs
    this.#positions = new Map(specs.map((spec, position) => [spec.name, position]))
  }

  has(name: string): boolean {
    return this.#positions.has(name)
  }

  /**
   * Returns the position in the model's inputs.
   * @throws ServerError 400 when the model has no such input.
   */
  positionOf(name: string): number {
    const position = this.#positions.get(name)
    if (position === undefined) {
      throw new ServerError(
        'InvalidInputException',
        `Unknown input ${quote(name)}; ${this.expected()}.`,
      )
    }
    return position
  }

  /**
   * Returns the only input of the model.
   * @throws ServerError 400 when the model has no input or several.
   */
  only(what: string): TensorSpec {
    const [spec] = this.specs
    if (spec === undefined || this.specs.length > 1) {
      throw new ServerError(
        'InvalidInputException',
        `${what} is only possible for a model with one input; ${this.expected()}.`,
      )
    }
    return spec
  }

  expected(): string {
    if (this.specs.length === 0) return 'the model has no inputs'
    return `the model expects ${countText(this.specs.length, 'input')}: ${specListText(this.specs)}`
  }
}

/** Collects the tensors of one request by name. */
export class InputSet {
  readonly #table: InputTable
  readonly #tensors: (Tensor | undefined)[]
  readonly #claimed = new Set<string>()

  constructor(table: InputTable) {
    this.#table = table
    this.#tensors = Array.from({ length: table.specs.length })
  }

  /**
   * Returns the specification of an input, which cannot be claimed again.
   * @throws ServerError 400 when the input is unknown or already claimed.
   */
  claim(name: string): TensorSpec {
    const position = this.#table.positionOf(name)
    const spec = this.#table.specs[position]
    if (spec === undefined || this.#claimed.has(name)) {
      throw new ServerError('InvalidInputException', `Input ${quote(name)} occurs twice.`)
    }
    this.#claimed.add(name)
    return spec
  }

  add(name: string, tensor: Tensor): void {
    this.#tensors[this.#table.positionOf(name)] = tensor
  }

  /** The tensor of an input, if the request has it. */
  given(name: string): Tensor | undefined {
    return this.#tensors[this.#table.positionOf(name)]
  }

  /**
   * Returns all tensors in the model's order.
   * @throws ServerError 400 when one is missing or their batch dimensions differ.
   */
  complete(): readonly Tensor[] {
    const { specs } = this.#table
    const tensors = this.#tensors.filter((tensor) => tensor !== undefined)
    if (tensors.length < specs.length) {
      const missing = specs.filter((_, position) => this.#tensors[position] === undefined)
      const names = missing.slice(0, 8).map((spec) => quote(spec.name))
      throw new ServerError(
        'InvalidInputException',
        `Missing ${missing.length === 1 ? 'input' : 'inputs'} ${names.join(', ')}; ${this.#table.expected()}.`,
      )
    }
    checkBatch(specs, tensors)
    return tensors
  }
}
