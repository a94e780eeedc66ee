/** The model store as Triton's clients see it: lists models, and loads and unloads them by name. */
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import type { Load } from '../loading/loads.ts'
import type { ModelVersion } from '../model-version.ts'
import type { Registration } from '../registration.ts'
import type { Registry } from '../registry.ts'
import type { ResidencyState } from '../residency/on-demand.ts'
import { checkModelName, shownName } from '../sources/model-name.ts'
import { prepareFromArgument, prepareFromUrl } from '../sources/prepare.ts'
import type { PreparedModel, SourceOptions } from '../sources/prepare.ts'
import { readStoreNames } from '../sources/store/names.ts'
import type { StoreNames } from '../sources/store/names.ts'
import { parseConfigOverride } from './config-override.ts'

/** A model and its state; a model that was never loaded has only a name. */
export interface IndexEntry {
  readonly name: string
  readonly version?: string
  readonly state?: 'READY' | 'UNAVAILABLE' | ResidencyState
  readonly reason?: string
}

/** Loads and unloads models by name. */
export class ModelRepository {
  readonly #registry: Registry
  readonly #sources: SourceOptions
  readonly #drainMs: number
  /** Paths of unloaded models from the command line, by name. The store does not contain them. */
  readonly #unloaded = new Map<string, string>()
  /** Configuration of each running load by name. */
  readonly #configs = new WeakMap<Load, string | undefined>()

  /** @param drainMs Time for accepted requests to finish when a model is unloaded. */
  constructor(registry: Registry, sources: SourceOptions, drainMs: number) {
    this.#registry = registry
    this.#sources = sources
    this.#drainMs = drainMs
  }

  /**
   * Returns all known models, sorted by name.
   * @param onlyReady Return only models that can serve now.
   */
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
   * Loads a model, or loads it again. The old workers serve until the new ones are ready, and stay
   * if the load fails. A call with the same configuration as a running load waits for that load; a
   * different one begins after it.
   * @param config Part of Triton's `ModelConfig` as JSON text.
   * @throws ServerError whose text begins with "failed to load", as clients expect.
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
   * Unloads all versions of a model and aborts loads of its name. Does nothing for a known model
   * that is not loaded.
   * @throws ServerError `ModelNotFoundException`.
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

  /** Two simultaneous loads of one name would start two sets of workers, one of them useless. */
  async #loadAfterOthers(name: string, config: string | undefined): Promise<void> {
    const { options, report } = parseConfigOverride(config ?? '{}')
    const registration: Registration = { options, origin: 'request', loadsNow: true }
    for (
      let other = this.#registry.loadOf(name);
      other !== undefined;
      other = this.#registry.loadOf(name)
    ) {
      const isSame = this.#configs.has(other)
        ? this.#configs.get(other) === config
        : other.origin === 'start' && config === undefined
      if (!isSame) await other.done.catch(() => {})
      else {
        const versions = await other.done
        if (await areCurrent(versions)) return loadNow(versions, other.signal)
      }
    }
    const load = this.#registry.reload(name, registration, async (signal) => {
      const found = await this.#prepare(name, signal)
      return found.map((model) => ({ ...model, loadReport: report }))
    })
    this.#configs.set(load, config)
    await load.done
  }

  /** Returns the command line path of a served model, if the store does not contain the model. */
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

  /** Returns the path of a model that was loaded at the start and is served or being loaded. */
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

  /**
   * Returns why models failed to load, by name, or by the file name of the URL if no name is known.
   */
  #failures({ urls, problems }: StoreNames): Map<string, string> {
    const names = new Map([...urls].map(([name, url]) => [url, name]))
    const failed = this.#registry.failures.all.map(({ name, url, reason }): [string, string] => [
      name ?? names.get(url) ?? path.basename(url),
      reason,
    ])
    return new Map([...failed, ...problems])
  }
}

/** Whether versions were made from the current files. */
async function areCurrent(versions: readonly ModelVersion[]): Promise<boolean> {
  for (const { prepared } of versions) {
    if ((await prepared.files?.findChange()) !== undefined) return false
  }
  return true
}

/** The load of a model that loads on demand may only have registered it. */
async function loadNow(versions: readonly ModelVersion[], signal: AbortSignal): Promise<void> {
  await Promise.all(versions.map((version) => version.loadNow(signal)))
}

const UNKNOWN = 'the model is not in the model repository'

function entryOf({ name, version, status }: ModelVersion): IndexEntry {
  const { residency, missingStep } = status
  if (missingStep !== undefined) return { name, version, state: 'UNAVAILABLE', reason: missingStep }
  if (residency !== undefined && residency !== 'READY') return { name, version, state: residency }
  if (status.isReady) return { name, version, state: 'READY' }
  const failure = status.workers.find(({ lastFailure }) => lastFailure !== undefined)?.lastFailure
  return { name, version, state: 'UNAVAILABLE', reason: failure ?? 'No worker is ready.' }
}

function sorted(entries: readonly IndexEntry[]): IndexEntry[] {
  return entries.toSorted((a, b) => a.name.localeCompare(b.name))
}
