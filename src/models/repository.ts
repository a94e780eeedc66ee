/** The model store as Triton's clients see it: a list of what could be served, loaded and unloaded by name. */
import path from 'node:path'
import { ServerError } from '../errors.ts'
import { parseConfigOverride } from './config-override.ts'
import { checkModelName, nameOfPath } from './model-name.ts'
import type { ModelVersion } from './model-version.ts'
import type { Registry } from './registry.ts'
import { prepareFromArgument, prepareFromUrl } from './source.ts'
import type { PreparedModel, SourceOptions } from './source.ts'
import { listStore } from './store-listing.ts'

/** A model, and what has become of it; one that was never loaded has only a name. */
export interface IndexEntry {
  readonly name: string
  readonly version?: string
  readonly state?: 'READY' | 'UNAVAILABLE'
  readonly reason?: string
}

/** Loads and unloads models by name. */
export class ModelRepository {
  readonly #registry: Registry
  readonly #sources: SourceOptions
  readonly #drainMs: number
  /** Paths of the command line whose models were unloaded, by name: they are not in the store. */
  readonly #unloaded = new Map<string, string>()

  /** @param drainMs What accepted requests get to finish when a model is unloaded. */
  constructor(registry: Registry, sources: SourceOptions, drainMs: number) {
    this.#registry = registry
    this.#sources = sources
    this.#drainMs = drainMs
  }

  /** All models that are known, by name. @param onlyReady Only those that can answer now. */
  async index(onlyReady: boolean): Promise<IndexEntry[]> {
    const loaded = this.#registry.all.map(entryOf)
    if (onlyReady) return sorted(loaded.filter(({ state }) => state === 'READY'))
    const failures = await this.#failures()
    const known = [...(await this.#stored()).keys(), ...this.#unloaded.keys(), ...failures.keys()]
    const names = new Set(known.filter((name) => !this.#registry.names.includes(name)))
    const others = [...names].map((name): IndexEntry => {
      const reason = failures.get(name)
      return reason === undefined ? { name } : { name, state: 'UNAVAILABLE', reason }
    })
    return sorted([...loaded, ...others])
  }

  /**
   * Loads a model, or loads it again: until the new workers are ready the old ones serve, and they go on if it fails.
   * @param config Part of Triton's `ModelConfig` as JSON text.
   * @throws ServerError whose text begins with "failed to load", as clients expect it.
   */
  async load(name: string, config?: string): Promise<void> {
    try {
      checkModelName(name)
      const { options, report } = parseConfigOverride(config ?? '{}')
      const found = await this.#prepare(name)
      const prepared = found.map((model) => ({ ...model, loadReport: report }))
      await this.#registry.register(prepared, { options, origin: 'request' }, true)
      this.#unloaded.delete(name)
    } catch (cause) {
      if (!(cause instanceof ServerError)) throw cause
      const { type, statusCode, message } = cause
      throw new ServerError(type, `failed to load '${name}': ${message}`, { statusCode, cause })
    }
  }

  /**
   * Unloads all versions of a model. One that is known and not loaded is fine as it is.
   * @throws ServerError `ModelNotFoundException`
   */
  async unload(name: string): Promise<void> {
    if (this.#registry.names.includes(name)) {
      const { origin, prepared } = this.#registry.get(name)
      const isStored = (await this.#stored()).has(name)
      if (origin === 'start' && !isStored) this.#unloaded.set(name, path.resolve(prepared.url))
      return this.#registry.unregister(name, this.#drainMs)
    }
    if (this.#unloaded.has(name) || (await this.#stored()).has(name)) return
    throw new ServerError('ModelNotFoundException', `failed to unload '${name}': ${UNKNOWN}`)
  }

  async #prepare(name: string): Promise<PreparedModel[]> {
    const url = (await this.#stored()).get(name)
    if (url !== undefined) return prepareFromUrl(url, { ...this.#sources, name })
    const argument = this.#unloaded.get(name) ?? this.#startedFrom(name)
    if (argument === undefined) throw new ServerError('ModelNotFoundException', UNKNOWN)
    return prepareFromArgument(`${name}=${argument}`, this.#sources)
  }

  #startedFrom(name: string): string | undefined {
    if (!this.#registry.names.includes(name)) return undefined
    const { origin, prepared } = this.#registry.get(name)
    return origin === 'start' ? path.resolve(prepared.url) : undefined
  }

  /** Entries of the store by the name of the model in them. */
  async #stored(): Promise<Map<string, string>> {
    const { modelStore } = this.#sources
    const stored = new Map<string, string>()
    if (modelStore === undefined) return stored
    for (const url of await listStore(modelStore)) {
      stored.set(nameOfPath(path.join(modelStore, url), modelStore), url)
    }
    return stored
  }

  /** Why models that should be served are not, by their name, or their url where no name was known yet. */
  async #failures(): Promise<Map<string, string>> {
    const names = new Map([...(await this.#stored())].map(([name, url]) => [url, name]))
    return new Map(
      this.#registry.failures.all.map(({ name, url, reason }) => [
        name ?? names.get(url) ?? path.basename(url),
        reason,
      ]),
    )
  }
}

const UNKNOWN = 'it is not in the model repository'

function entryOf({ name, version, pool, minWorkers }: ModelVersion): IndexEntry {
  if (minWorkers === 0 || pool.readyWorkers > 0) return { name, version, state: 'READY' }
  const failure = pool.slots.find(({ lastFailure }) => lastFailure !== undefined)?.lastFailure
  return { name, version, state: 'UNAVAILABLE', reason: failure ?? 'No worker is ready.' }
}

function sorted(entries: readonly IndexEntry[]): IndexEntry[] {
  return entries.toSorted((a, b) => a.name.localeCompare(b.name))
}
