import { ServerError } from '../../../../errors.ts'
import { countText, quote, specListText } from './error-text.ts'
import type { TensorSpec } from './metadata.ts'

/** The model's outputs by name. */
export class OutputTable {
  readonly specs: readonly TensorSpec[]
  /** In the model's order. */
  readonly names: readonly string[]
  readonly #known: ReadonlyMap<string, TensorSpec>

  constructor(specs: readonly TensorSpec[]) {
    this.specs = specs
    this.names = specs.map((spec) => spec.name)
    this.#known = new Map(specs.map((spec) => [spec.name, spec]))
  }

  /** @throws ServerError 400 for an unknown output. */
  specOf(name: string): TensorSpec {
    const spec = this.#known.get(name)
    if (spec !== undefined) return spec
    const problem = `Output ${quote(name)} is not known; the model has ${specListText(this.specs)}.`
    throw new ServerError('InvalidInputException', problem)
  }

  /** The outputs asked for, all when none is. @throws ServerError 400 for an unknown or a repeated one. */
  choose(wanted: readonly { readonly name: string }[]): readonly string[] {
    if (wanted.length === 0) return this.names
    const chosen = new Set<string>()
    for (const { name } of wanted) {
      this.specOf(name)
      if (chosen.has(name)) {
        throw new ServerError('InvalidInputException', `Output ${quote(name)} is asked for twice.`)
      }
      chosen.add(name)
    }
    return [...chosen]
  }

  /** An answer in raw bytes has room for one output of numbers. @throws ServerError 406 otherwise */
  checkOctets(): void {
    const [only, ...others] = this.specs
    if (only !== undefined && others.length === 0 && only.datatype !== 'BYTES') return
    const has =
      others.length === 0
        ? 'has no output of numbers'
        : `has ${countText(this.specs.length, 'output')}`
    throw new ServerError(
      'InvalidInputException',
      `The model ${has}, which an answer in raw bytes cannot hold; accept application/json.`,
      { statusCode: 406 },
    )
  }
}
