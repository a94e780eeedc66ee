import { ServerError } from '../errors.ts'
import { Arrivals } from './arrivals.ts'
import { logConfigReport } from './config-report.ts'
import { Failures } from './failures.ts'
import { Loads, UnwantedLoadError } from './loads.ts'
import { shownName } from './model-name.ts'
import { ModelVersion } from './model-version.ts'
import type { ModelContext, Registration } from './model-version.ts'
import { discard } from './source.ts'
import type { PreparedModel } from './source.ts'

interface ModelEntry {
  readonly versions: Map<string, ModelVersion>
  defaultVersion: string
  /** Whether a request made it the default. */
  isDefaultChosen: boolean
}

/** The models that are served, by name and version. */
export class Registry {
  /** What could not be loaded while nobody was waiting for the answer. */
  readonly failures = new Failures()
  /** What is being downloaded for a registration. */
  readonly arrivals = new Arrivals()
  readonly #context: ModelContext
  readonly #models = new Map<string, ModelEntry>()
  readonly #loads = new Loads()
  #isClosed = false
  /** Called, and waited for, after each change that a restart should remember. */
  onChange: () => Promise<void> = () => Promise.resolve()

  constructor(context: ModelContext) {
    this.#context = context
  }

  /** Names of the models, sorted. */
  get names(): string[] {
    return [...this.#models.keys()].toSorted()
  }

  /** Every version of every model. */
  get all(): ModelVersion[] {
    return [...this.#models.values()].flatMap((entry) => [...entry.versions.values()])
  }

  /**
   * Starts the versions of one model and then, when all are ready, makes them visible; the last one is
   * the default of a new model. On failure nothing is left: no name, no process, no file.
   * @param replaces All that is registered under the name serves until then, and is unregistered after it.
   * @throws ServerError `ConflictStatusException` when a version exists or is being loaded.
   */
  async register(
    prepared: readonly PreparedModel[],
    registration: Registration,
    replaces = false,
  ): Promise<readonly ModelVersion[]> {
    const isRestored = registration.origin === 'restored'
    try {
      for (const model of prepared) this.#refuseDouble(model, replaces)
    } catch (error) {
      await Promise.all(prepared.map((model) => discard(model, isRestored)))
      throw error
    }
    logConfigReport(prepared, this.#context.log)
    const { signal, end } = this.#loads.begin(prepared)
    try {
      const started = await Promise.allSettled(
        prepared.map((model) => ModelVersion.start(model, registration, this.#context, signal)),
      )
      const versions = started.flatMap((outcome) =>
        outcome.status === 'fulfilled' ? [outcome.value] : [],
      )
      const failure = started.find((outcome) => outcome.status === 'rejected')
      if (failure !== undefined || this.#isClosed || signal.aborted) {
        await Promise.all(versions.map((version) => version.pool.close(0)))
        await Promise.all(prepared.map((model) => discard(model, isRestored)))
        throw signal.aborted ? new UnwantedLoadError('loaded') : (failure?.reason ?? stopping())
      }
      const replaced = this.#publish(versions, replaces)
      await this.#saveOrUndo(versions, replaced)
      for (const old of replaced) void old.close(this.#context.config.drainTimeout * 1000)
      return versions
    } finally {
      end()
    }
  }

  /**
   * A version of a model; the default version when none is named.
   * @throws ServerError `ModelNotFoundException`, `ModelVersionNotFoundException`, or
   * `ServiceUnavailableException` while the model is being loaded.
   */
  get(name: string, version?: string): ModelVersion {
    this.#refuseWhileLoading(name)
    const entry = this.#entry(name)
    const found = entry.versions.get(version ?? entry.defaultVersion)
    if (found !== undefined) return found
    throw new ServerError(
      'ModelVersionNotFoundException',
      `Model version: ${shownName(version ?? '')} does not exist for model: ${name}`,
    )
  }

  /** Whether a version is registered. */
  has(name: string, version: string): boolean {
    return this.#models.get(name)?.versions.has(version) === true
  }

  /** The only model that is served, if there is exactly one. */
  get only(): ModelVersion | undefined {
    const [first, ...others] = this.names
    return first !== undefined && others.length === 0 ? this.get(first) : undefined
  }

  /**
   * Versions of a model, oldest registration first.
   * @throws ServerError `ModelNotFoundException`.
   */
  versions(name: string): readonly ModelVersion[] {
    return [...this.#entry(name).versions.values()]
  }

  /** Whether requests that name no version go to this one. */
  isDefault({ name, version }: ModelVersion): boolean {
    return this.#models.get(name)?.defaultVersion === version
  }

  /** Whether a request made it the default. */
  isChosenDefault(model: ModelVersion): boolean {
    return this.isDefault(model) && this.#models.get(model.name)?.isDefaultChosen === true
  }

  /**
   * Requests that name no version go to this one from now on; those already accepted finish where they are.
   * @throws ServerError `ModelNotFoundException` or `ModelVersionNotFoundException`.
   */
  async setDefault(name: string, version: string): Promise<void> {
    const entry = this.#entry(name)
    entry.defaultVersion = this.get(name, version).version
    entry.isDefaultChosen = true
    await this.onChange()
  }

  /**
   * Takes a model out, with all its versions: it is invisible at once, then its accepted work finishes
   * within `drainMs`, then its workers end. What is just being downloaded or loaded under the name goes no further.
   * @throws ServerError `ModelNotFoundException`.
   */
  async unregister(name: string, drainMs: number): Promise<void> {
    const ended = await Promise.all([this.arrivals.abort(name), this.#loads.abort(name)])
    if (ended.includes(true) && !this.#models.has(name)) return
    const { versions } = this.#entry(name)
    this.#models.delete(name)
    await this.onChange()
    await Promise.all([...versions.values()].map((version) => version.close(drainMs)))
  }

  /**
   * Takes one version out, as {@link unregister} does a model; the last version takes the model with it.
   * @throws ServerError as {@link get}, and `InvalidModelVersionException` for the default among others.
   */
  async unregisterVersion(name: string, version: string, drainMs: number): Promise<void> {
    const entry = this.#entry(name)
    const found = this.get(name, version)
    if (entry.versions.size === 1) return this.unregister(name, drainMs)
    if (this.isDefault(found)) {
      throw new ServerError(
        'InvalidModelVersionException',
        `Cannot remove default version for model ${name}`,
      )
    }
    entry.versions.delete(found.version)
    await this.onChange()
    await found.close(drainMs)
  }

  /** Ends everything and refuses what is still being loaded. What was registered stays in the state. */
  async close(): Promise<void> {
    this.#isClosed = true
    const versions = this.all
    this.#models.clear()
    await Promise.all(versions.map((version) => version.close(0, true)))
  }

  #refuseWhileLoading(name: string): void {
    if (this.#models.has(name) || !this.#loads.has(name)) return
    const text = `Model ${name} is being loaded.`
    throw new ServerError('ServiceUnavailableException', text, { retryAfterSeconds: 1 })
  }

  #entry(name: string): ModelEntry {
    const entry = this.#models.get(name)
    if (entry === undefined)
      throw new ServerError('ModelNotFoundException', `Model not found: ${shownName(name)}`)
    return entry
  }

  #refuseDouble({ name, version }: PreparedModel, replaces: boolean): void {
    const isTaken = !replaces && this.has(name, version)
    if (isTaken || this.#loads.has(name, version)) {
      throw new ServerError('ConflictStatusException', `Model ${name} is already registered.`)
    }
  }

  /** A registration that a restart would forget is no registration. */
  async #saveOrUndo(
    versions: readonly ModelVersion[],
    replaced: readonly ModelVersion[],
  ): Promise<void> {
    try {
      await this.onChange()
    } catch (cause) {
      this.#exchange(versions, replaced)
      await Promise.all(versions.map((version) => version.close(0)))
      const problem = 'The registration could not be saved.'
      throw new ServerError('InternalServerException', problem, { cause })
    }
  }

  /** Makes the versions of one model visible and returns those that are no longer. */
  #publish(versions: readonly ModelVersion[], replaces: boolean): readonly ModelVersion[] {
    for (const { prepared } of versions) this.failures.settle(prepared)
    const [first] = versions
    const before = replaces && first !== undefined ? this.#models.get(first.name) : undefined
    const replaced = [...(before?.versions.values() ?? [])]
    this.#exchange(replaced, versions)
    return replaced
  }

  /** One version for another, in one step. A model without its default version gets the newest. */
  #exchange(removed: readonly ModelVersion[], added: readonly ModelVersion[]): void {
    const name = (added[0] ?? removed[0])?.name ?? ''
    const entry: ModelEntry = this.#models.get(name) ?? {
      versions: new Map(),
      defaultVersion: '',
      isDefaultChosen: false,
    }
    for (const { version } of removed) entry.versions.delete(version)
    for (const version of added) entry.versions.set(version.version, version)
    const newest = [...entry.versions.keys()].at(-1)
    if (newest === undefined) this.#models.delete(name)
    else this.#models.set(name, entry)
    if (entry.versions.has(entry.defaultVersion)) return
    entry.defaultVersion = newest ?? ''
    entry.isDefaultChosen = false
  }
}

function stopping(): ServerError {
  return new ServerError('ServiceUnavailableException', 'The server is stopping.')
}
