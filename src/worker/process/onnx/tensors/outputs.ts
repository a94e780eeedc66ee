import { ServerError } from '../../../../errors.ts'
import { countText, quote, specListText } from './error-text.ts'
import type { TensorSpec } from './metadata.ts'

/** The model's outputs by name. */
export class OutputTable {
  readonly specs: readonly TensorSpec[]
  /** Output names in the model's order. */
  readonly names: readonly string[]
  readonly #known: ReadonlyMap<string, TensorSpec>

  constructor(specs: readonly TensorSpec[]) {
    this.specs = specs
    this.names = specs.map((spec) => spec.name)
    this.#known = new Map(specs.map((spec) => [spec.name, spec]))
  }

  /** @throws ServerError 400 when the output is unknown. */
  specOf(name: string): TensorSpec {
    const spec = this.#known.get(name)
    if (spec !== undefined) return spec
    const problem = `Unknown output ${quote(name)}; the model has ${specListText(this.specs)}.`
    throw new ServerError('InvalidInputException', problem)
  }

  /**
   * Returns the names of the requested outputs, or all outputs when the list is empty.
   * @throws ServerError 400 when an output is unknown or repeated.
   */
  choose(wanted: readonly { readonly name: string }[]): readonly string[] {
    if (wanted.length === 0) return this.names
    const chosen = new Set<string>()
    for (const { name } of wanted) {
      this.specOf(name)
      if (chosen.has(name)) {
        throw new ServerError('InvalidInputException', `Output ${quote(name)} is requested twice.`)
      }
      chosen.add(name)
    }
    return [...chosen]
  }

  /**
   * Checks that a response in raw bytes is possible: the model must have a single output of
   * numbers.
   * @throws ServerError 406 otherwise
   */
  checkOctets(): void {
    const [only, ...others] = this.specs
    if (only !== undefined && others.length === 0 && only.datatype !== 'BYTES') return
    const has =
      others.length === 0
        ? 'has no numeric output'
        : `has ${countText(this.specs.length, 'output')}`
    throw new ServerError(
      'InvalidInputException',
      `The model ${has}, so the response cannot be raw bytes; accept application/json.`,
      { statusCode: 406 },
    )
  }
}
