/** The model store as Triton's clients see it: a list of what could be served, loaded and unloaded by name. */
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import type { Load } from '../loads.ts'
import type { ModelVersion } from '../model-version.ts'
import type { Registration } from '../registration.ts'
import type { Registry } from '../registry.ts'
import { checkModelName, shownName } from '../sources/model-name.ts'
import { prepareFromArgument, prepareFromUrl } from '../sources/prepare.ts'
import type { PreparedModel, SourceOptions } from '../sources/prepare.ts'
import { readStoreNames } from '../sources/store-names.ts'
import type { StoreNames } from '../sources/store-names.ts'
import { parseConfigOverride } from './config-override.ts'

/** A model, and what has become of it; one that was never loaded has only a name. */
export interface IndexEntry {
  readonly name: string
  readonly version?: string
  readonly state?: 'READY' | 'UNAVAILABLE' | 'LOADING'
  readonly reason?: string
}

/** Loads and unloads models by name. */
export class ModelRepository {
  readonly #registry: Registry
  readonly #sources: SourceOptions
  readonly #drainMs: number
  /** Paths of the command line whose models were unloaded, by name: they are not in the store. */
  readonly #unloaded = new Map<string, string>()
  /** What loads by name that are under way were told of the configuration. */
  readonly #configs = new WeakMap<Load, string | undefined>()

  /** @param drainMs What accepted requests get to finish when a model is unloaded. */
  constructor(registry: Registry, sources: SourceOptions, drainMs: number) {
    this.#registry = registry
    this.#sources = sources
    this.#drainMs = drainMs
  }

  /** All models that are known, by name. @param onlyReady Only those that can answer now. */
  async index(onlyReady: boolean): Promise<IndexEntry[]> {
    const served = this.#registry.all.map(entryOf)
    if (onlyReady) return sorted(served.filter(({ state }) => state === 'READY'))
    const loading = this.#registry.loading.map(({ name, version }): IndexEntry => ({
      name,
      ...(version !== undefined && { version }),
      state: 'LOADING',
    }))
    const current = [...served, ...loading]
    const stored = await this.#stored()
    const failures = this.#failures(stored)
    const known = [...stored.urls.keys(), ...this.#unloaded.keys(), ...failures.keys()]
    const taken = new Set(current.map(({ name }) => name))
    const others = [...new Set(known)].filter((name) => !taken.has(name))
    const unused = others.map((name): IndexEntry => {
      const reason = failures.get(name)
      return reason === undefined ? { name } : { name, state: 'UNAVAILABLE', reason }
    })
    return sorted([...current, ...unused])
  }

  /**
   * Loads a model, or loads it again: until the new workers are ready the old ones serve, and they go on if it fails.
   * While the same load is under way it is waited for, and a different one begins after it.
   * @param config Part of Triton's `ModelConfig` as JSON text.
   * @throws ServerError whose text begins with "failed to load", as clients expect it.
   */
  async load(name: string, config?: string): Promise<void> {
    try {
      checkModelName(name)
      await this.#loadAfterOthers(name, config)
      this.#unloaded.delete(name)
    } catch (cause) {
      if (!(cause instanceof ServerError)) throw cause
      const { type, statusCode, message } = cause
      throw new ServerError(type, `failed to load '${shownName(name)}': ${message}`, {
        statusCode,
        cause,
      })
    }
  }

  /**
   * Unloads all versions of a model, and ends what is being loaded under its name. One that is known and not loaded
   * is fine as it is.
   * @throws ServerError `ModelNotFoundException`
   */
  async unload(name: string): Promise<void> {
    const isLoading = this.#registry.loadOf(name) !== undefined
    if (isLoading || this.#registry.has(name)) {
      const argument = await this.#argumentOf(name)
      await this.#registry.unregister(name, this.#drainMs)
      if (argument !== undefined) this.#unloaded.set(name, argument)
      return
    }
    if (this.#unloaded.has(name) || (await this.#stored()).urls.has(name)) return
    throw new ServerError(
      'ModelNotFoundException',
      `failed to unload '${shownName(name)}': ${UNKNOWN}`,
    )
  }

  /** Two loads of one name at a time would end in two sets of workers, one of which nobody wants. */
  async #loadAfterOthers(name: string, config: string | undefined): Promise<void> {
    const { options, report } = parseConfigOverride(config ?? '{}')
    const registration: Registration = { options, origin: 'request' }
    for (
      let other = this.#registry.loadOf(name);
      other !== undefined;
      other = this.#registry.loadOf(name)
    ) {
      const isSame = this.#configs.has(other)
        ? this.#configs.get(other) === config
        : other.origin === 'start' && config === undefined
      if (!isSame) await other.done.catch(() => {})
      else if (await areCurrent(await other.done)) return
    }
    const load = this.#registry.reload(name, registration, async (signal) => {
      const found = await this.#prepare(name, signal)
      return found.map((model) => ({ ...model, loadReport: report }))
    })
    this.#configs.set(load, config)
    await load.done
  }

  /** The path of the command line that a served model came from and that the store cannot give back. */
  async #argumentOf(name: string): Promise<string | undefined> {
    const argument = this.#startedFrom(name)
    return argument !== undefined && !(await this.#stored()).urls.has(name) ? argument : undefined
  }

  async #prepare(name: string, signal: AbortSignal): Promise<PreparedModel[]> {
    const sources = { ...this.#sources, signal }
    const url = (await this.#stored()).urls.get(name)
    if (url !== undefined) return prepareFromUrl(url, { ...sources, name })
    const argument = this.#unloaded.get(name) ?? this.#startedFrom(name)
    if (argument === undefined) throw new ServerError('ModelNotFoundException', UNKNOWN)
    return prepareFromArgument(`${name}=${argument}`, sources)
  }

  /** Where the start has a model from that is served or being loaded. */
  #startedFrom(name: string): string | undefined {
    const [loading] = this.#registry.loadOf(name)?.versions ?? []
    const model = this.#registry.has(name) ? this.#registry.get(name) : loading
    return model?.origin === 'start' ? path.resolve(model.prepared.url) : undefined
  }

  async #stored(): Promise<StoreNames> {
    const { modelStore } = this.#sources
    return modelStore === undefined
      ? { urls: new Map(), problems: new Map() }
      : readStoreNames(modelStore)
  }

  /** Why models that should be served are not, by their name, or their URL where no name is known. */
  #failures({ urls, problems }: StoreNames): Map<string, string> {
    const names = new Map([...urls].map(([name, url]) => [url, name]))
    const failed = this.#registry.failures.all.map(({ name, url, reason }): [string, string] => [
      name ?? names.get(url) ?? path.basename(url),
      reason,
    ])
    return new Map([...failed, ...problems])
  }
}

/** Whether versions were made of the files as they are now. */
async function areCurrent(versions: readonly ModelVersion[]): Promise<boolean> {
  for (const { prepared } of versions) {
    if ((await prepared.files?.findChange()) !== undefined) return false
  }
  return true
}

const UNKNOWN = 'it is not in the model repository'

function entryOf({ name, version, status }: ModelVersion): IndexEntry {
  if (status.isReady) return { name, version, state: 'READY' }
  const failure = status.workers.find(({ lastFailure }) => lastFailure !== undefined)?.lastFailure
  return { name, version, state: 'UNAVAILABLE', reason: failure ?? 'No worker is ready.' }
}

function sorted(entries: readonly IndexEntry[]): IndexEntry[] {
  return entries.toSorted((a, b) => a.name.localeCompare(b.name))
}
