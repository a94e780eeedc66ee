/** The labels and weights of all models. */
import type { Changes } from '../changes.ts'
import type { ModelTable } from '../model-table.ts'
import { checkRouting } from './routing.ts'
import type { Routing } from './routing.ts'

const NO_ROUTING: Routing = {}

export class ModelRouting {
  readonly #table: ModelTable
  readonly #changes: Changes

  constructor(table: ModelTable, changes: Changes) {
    this.#table = table
    this.#changes = changes
  }

  /**
   * Returns the labels and weights of a model.
   * @throws ServerError `ModelNotFoundException`.
   */
  of(name: string): Routing {
    this.#versions(name)
    return this.#table.chooser(name)?.routing ?? NO_ROUTING
  }

  /** Models with labels or weights. */
  get all(): readonly { readonly name: string; readonly routing: Routing }[] {
    return this.#table.names.flatMap((name) => {
      const routing = this.#table.chooser(name)?.routing
      return routing === undefined ? [] : [{ name, routing }]
    })
  }

  /**
   * Returns the version for a request that names none; `undefined` for the default version.
   * @param keyOf Returns the key of the request, see {@link stickyOf}.
   */
  choose(name: string, keyOf: () => string | undefined): string | undefined {
    const chooser = this.#table.chooser(name)
    return chooser?.choose(keyOf())
  }

  /** What the key of a model's requests is; `undefined` if nothing is. */
  stickyOf(name: string): Routing['sticky'] {
    return this.#table.chooser(name)?.routing.sticky
  }

  /**
   * Replaces the labels and weights of a model. Requests that were accepted stay with their
   * version.
   * @param value From outside; an empty object removes all labels and weights.
   * @param isSaved False if it comes from the saved state.
   * @throws ServerError 400 or 404, 409 during a rollout, or if the change could not be saved.
   */
  async set(name: string, value: unknown, isSaved = true): Promise<Routing> {
    let routing = NO_ROUTING
    await this.#changes.make(() => {
      routing = checkRouting(value, name, this.#versions(name))
      const isEmpty = [routing.labels, routing.weights].every(
        (part) => Object.keys(part ?? {}).length === 0,
      )
      return this.#table.route(name, isEmpty ? undefined : routing)
    }, isSaved)
    return routing
  }

  #versions(name: string): readonly string[] {
    return this.#table.versions(name).map(({ version }) => version)
  }
}
