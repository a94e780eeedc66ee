/** Collects the comparisons of the outputs of a response. */
import type { OutputComparison } from './comparison.ts'

/** Outputs that are reported. A response may have an output for each member of a large object. */
const MAX_OUTPUTS = 100
/** Of the others, only the worst is kept. */
const MAX_NAME = 120
const OTHERS = 'other outputs'

/** Comparisons by the name of the output. The elements of a list share one name. */
export class Findings {
  readonly #outputs = new Map<string, OutputComparison>()
  #reason: string | undefined

  /** Why the responses do not agree, if they do not. */
  get reason(): string | undefined {
    return this.#reason
  }

  get outputs(): readonly OutputComparison[] {
    return [...this.#outputs.values()].toSorted(
      (one, other) => Number(one.agrees) - Number(other.agrees),
    )
  }

  /** Adds a value that is the same in both. */
  addEqual(name: string): void {
    if (this.#outputs.has(name)) return
    this.add({ name, kind: 'exact', agrees: true, difference: 0, measures: {} })
  }

  add(output: OutputComparison): void {
    const found = { ...output, name: output.name.slice(0, MAX_NAME) }
    if (!found.agrees) this.#reason ??= `${found.name}: ${found.reason ?? 'it differs'}`
    const isNew = !this.#outputs.has(found.name) && this.#outputs.size >= MAX_OUTPUTS - 1
    const name = isNew ? OTHERS : found.name
    const known = this.#outputs.get(name)
    const merged = known === undefined ? found : worseOf(known, found)
    this.#outputs.set(name, { ...merged, name })
  }
}

function worseOf(one: OutputComparison, other: OutputComparison): OutputComparison {
  if (one.agrees !== other.agrees) return one.agrees ? other : one
  return other.difference > one.difference ? other : one
}
