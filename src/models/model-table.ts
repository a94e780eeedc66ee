/** The served versions by model name, and the default version of each model. */
import { ServerError } from '../errors.ts'
import type { Undo } from './changes.ts'
import type { ModelVersion } from './model-version.ts'
import { shownName } from './sources/model-name.ts'

interface ModelEntry {
  readonly versions: ReadonlyMap<string, ModelVersion>
  readonly defaultVersion: string
  /** Whether a request made it the default. */
  readonly isDefaultChosen: boolean
}

/** A table of models. Every change is one step and can be reverted. */
export class ModelTable {
  readonly #models = new Map<string, ModelEntry>()

  /** Names of the models, sorted. */
  get names(): string[] {
    return [...this.#models.keys()].toSorted()
  }

  /** Every version of every model. */
  get all(): ModelVersion[] {
    return [...this.#models.values()].flatMap(({ versions }) => [...versions.values()])
  }

  /** Whether a model, or a version of it, is in the table. */
  has(name: string, version?: string): boolean {
    const entry = this.#models.get(name)
    return entry !== undefined && (version === undefined || entry.versions.has(version))
  }

  /** Returns a version of a model; the default version if none is given. */
  find(name: string, version?: string): ModelVersion | undefined {
    const entry = this.#models.get(name)
    return entry?.versions.get(version ?? entry.defaultVersion)
  }

  /**
   * Returns the versions of a model, oldest registration first.
   * @throws ServerError `ModelNotFoundException`.
   */
  versions(name: string): readonly ModelVersion[] {
    const entry = this.#models.get(name)
    if (entry !== undefined) return [...entry.versions.values()]
    throw new ServerError('ModelNotFoundException', `Model not found: ${shownName(name)}`)
  }

  /** Whether requests without a version use this one. */
  isDefault({ name, version }: ModelVersion): boolean {
    return this.#models.get(name)?.defaultVersion === version
  }

  /** Whether a request made it the default. */
  isChosenDefault(model: ModelVersion): boolean {
    return this.isDefault(model) && this.#models.get(model.name)?.isDefaultChosen === true
  }

  /** Makes a version in the table the default, on request. */
  chooseDefault({ name, version }: ModelVersion): Undo {
    return this.#change(name, (entry) => ({
      ...entry,
      defaultVersion: version,
      isDefaultChosen: true,
    }))
  }

  /**
   * Replaces versions of one model by others. If the default version is removed, the newest becomes
   * the default.
   */
  exchange(removed: readonly ModelVersion[], added: readonly ModelVersion[]): Undo {
    const [first] = [...added, ...removed]
    if (first === undefined) return () => {}
    return this.#change(first.name, (entry) => {
      const versions = new Map(entry.versions)
      for (const { version } of removed) versions.delete(version)
      for (const version of added) versions.set(version.version, version)
      if (versions.has(entry.defaultVersion)) return { ...entry, versions }
      const newest = [...versions.keys()].at(-1) ?? ''
      return { versions, defaultVersion: newest, isDefaultChosen: false }
    })
  }

  clear(): void {
    this.#models.clear()
  }

  #change(name: string, change: (entry: ModelEntry) => ModelEntry): Undo {
    const before = this.#models.get(name)
    this.#put(
      name,
      change(before ?? { versions: new Map(), defaultVersion: '', isDefaultChosen: false }),
    )
    return () => this.#put(name, before)
  }

  #put(name: string, entry: ModelEntry | undefined): void {
    if (entry === undefined || entry.versions.size === 0) this.#models.delete(name)
    else this.#models.set(name, entry)
  }
}
