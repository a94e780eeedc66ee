import { ServerError } from '../errors.ts'
import { Changes } from './changes.ts'
import type { Undo } from './changes.ts'
import { Failures } from './failures.ts'
import { UnwantedLoadError } from './loads.ts'
import type { Load, LoadedIdentity } from './loads.ts'
import { ModelLoader } from './model-loader.ts'
import { ModelTable } from './model-table.ts'
import type { ModelVersion } from './model-version.ts'
import type { ModelContext, Registration, Scaling, WorkerLimits } from './registration.ts'
import { shownName } from './sources/model-name.ts'
import type { PreparedModel } from './sources/prepare.ts'
import { Arrivals } from './transfers/incoming-models.ts'
import { stopping } from './unavailable.ts'

/** The models that are served and those that are being loaded, by name and version. */
export class Registry {
  /** What could not be loaded while nobody was waiting for the answer. */
  readonly failures = new Failures()
  /** What is being downloaded for a registration. */
  readonly arrivals = new Arrivals()
  /** Every change of what is served; each is saved before whoever wants it hears that it is made. */
  readonly changes = new Changes()
  readonly #table = new ModelTable()
  readonly #loader: ModelLoader
  #isStopping = false

  constructor(context: ModelContext) {
    const { failures, changes } = this
    this.#loader = new ModelLoader({ models: context, table: this.#table, changes, failures })
  }

  /** Names of the models that are served, sorted. */
  get names(): string[] {
    return this.#table.names
  }

  /** Every version of every model that is served. */
  get all(): ModelVersion[] {
    return this.#table.all
  }

  /** What is being loaded and not served yet; without a version while its files are being prepared. */
  get loading(): readonly (ModelVersion | LoadedIdentity)[] {
    const { running } = this.#loader.loads
    const all = running.flatMap(({ models, versions }) => (versions.length > 0 ? versions : models))
    return all.filter(({ name, version }) => !this.has(name, version))
  }

  /** The only model that is served, if there is exactly one. */
  get only(): ModelVersion | undefined {
    const [first, ...others] = this.names
    return first !== undefined && others.length === 0 ? this.get(first) : undefined
  }

  /** Does what {@link begin} begins. @throws ServerError as it does, and why the model could not be loaded. */
  async register(
    prepared: readonly PreparedModel[],
    registration: Registration,
  ): Promise<readonly ModelVersion[]> {
    return (await this.begin(prepared, registration)).done
  }

  /**
   * Begins to load the versions of one model, which then become visible; the last one is the default of a new
   * model. On failure nothing is left: no name, no process, no file.
   * @throws ServerError at once: `ConflictStatusException` when a version exists or is being loaded, and what
   * refuses the model before any process is started.
   */
  begin(prepared: readonly PreparedModel[], registration: Registration): Promise<Load> {
    return this.#loader.begin(prepared, registration)
  }

  /**
   * Begins to load a model in the place of all that is registered under its name, which serves until then.
   * @param prepare Finds the versions, and gives up when the signal is aborted.
   * @throws ServerError `ConflictStatusException` while something else is being loaded under the name.
   */
  reload(
    name: string,
    registration: Registration,
    prepare: (signal: AbortSignal) => Promise<readonly PreparedModel[]>,
  ): Load {
    return this.#loader.beginAgain(name, registration, prepare)
  }

  /** The load that brings a version, or any of a model. What is served is loaded again by it. */
  loadOf(name: string, version?: string): Load | undefined {
    return this.#loader.loads.find(name, version)
  }

  /** Whether a model, or a version of it, is served. */
  has(name: string, version?: string): boolean {
    return this.#table.has(name, version)
  }

  /**
   * A version of a model that is served; the default version when none is named.
   * @throws ServerError `ModelNotFoundException`, `ModelVersionNotFoundException`, or
   * `ServiceUnavailableException` while it is being loaded.
   */
  get(name: string, version?: string): ModelVersion {
    const found = this.#table.find(name, version)
    if (found !== undefined) return found
    if (this.loadOf(name, version) !== undefined) {
      const text = `Model ${name} is being loaded.`
      throw new ServerError('ServiceUnavailableException', text, { retryAfterSeconds: 1 })
    }
    this.#table.versions(name)
    const text = `Model version: ${shownName(version ?? '')} does not exist for model: ${name}`
    throw new ServerError('ModelVersionNotFoundException', text)
  }

  /** Resolves when {@link find} and {@link versions} know what is being loaded, or after some seconds. */
  async whenPrepared(name: string, version?: string): Promise<void> {
    if (!this.has(name, version)) await this.loadOf(name, version)?.whenPrepared()
  }

  /** As {@link get}, and also a version whose workers load the model for the first time. */
  find(name: string, version?: string): ModelVersion {
    const served = this.#table.find(name, version)
    if (served !== undefined) return served
    const loading = this.loadOf(name, version)?.versions.findLast(
      (model) => version === undefined || model.version === version,
    )
    return loading ?? this.get(name, version)
  }

  /**
   * Versions of a model that are served or being loaded, oldest registration first.
   * @throws ServerError `ModelNotFoundException`, or as {@link get} while the versions are not known.
   */
  versions(name: string): readonly ModelVersion[] {
    const served = this.has(name) ? this.#table.versions(name) : []
    const loading = (this.loadOf(name)?.versions ?? []).filter(
      ({ version }) => !this.has(name, version),
    )
    return served.length + loading.length > 0 ? [...served, ...loading] : [this.get(name)]
  }

  /** Whether requests that name no version go to this one. */
  isDefault(model: ModelVersion): boolean {
    return this.#table.isDefault(model)
  }

  /** Whether a request made it the default. */
  isChosenDefault(model: ModelVersion): boolean {
    return this.#table.isChosenDefault(model)
  }

  /**
   * Requests that name no version go to this one from now on, or once it is loaded; those already accepted
   * finish where they are.
   * @param isSaved False where the state says it.
   * @throws ServerError as {@link get}, why it could not be loaded, or that it could not be saved.
   */
  async setDefault(name: string, version: string, isSaved = true): Promise<void> {
    await this.#whenLoaded(name, version)
    await this.changes.make(() => this.#table.chooseDefault(this.get(name, version)), isSaved)
  }

  /**
   * Brings the number of workers of a version within limits, now or once it is loaded.
   * @throws ServerError as {@link setDefault} and `ModelVersion.scale`.
   */
  async scale(
    name: string,
    version: string | undefined,
    limits: WorkerLimits,
  ): Promise<Scaling & { readonly model: ModelVersion }> {
    const model = await this.#whenLoaded(name, version)
    const { done } = await model.scale(limits, (apply) => this.changes.make(apply))
    const scaled = done.catch((error: unknown) => {
      if (this.#isStopping) throw stopping()
      // Not there any more: it was unregistered meanwhile.
      this.get(name, model.version)
      throw error
    })
    return { model, done: scaled }
  }

  /**
   * Takes a model out, with all its versions: it is invisible once that is saved, then its accepted work finishes
   * within `drainMs`, then its workers end. What is downloaded or loaded under the name goes no further.
   * @throws ServerError `ModelNotFoundException`, or that it could not be saved.
   */
  async unregister(name: string, drainMs: number): Promise<void> {
    const ended = await Promise.all([
      this.arrivals.abort(name),
      this.#loader.loads.abort(name, new UnwantedLoadError('loaded')),
    ])
    if (ended.includes(true) && !this.has(name)) return
    await this.#takeOut(() => this.#table.versions(name), drainMs)
  }

  /**
   * Takes one version out, as {@link unregister} does a model; the last version takes the model with it. A
   * version that is being loaded goes no further.
   * @throws ServerError as {@link get}, and `InvalidModelVersionException` for the default among others.
   */
  async unregisterVersion(name: string, version: string, drainMs: number): Promise<void> {
    const load = this.has(name, version) ? undefined : this.loadOf(name, version)
    const [first, ...others] = load?.models ?? []
    if (load !== undefined && first?.version === version && others.length === 0) {
      await load.abort(new UnwantedLoadError('loaded'))
      if (!this.has(name, version)) return
    }
    await this.#whenLoaded(name, version)
    await this.#takeOut(() => {
      const found = this.get(name, version)
      if (!this.isDefault(found) || this.#table.versions(name).length === 1) return [found]
      const text = `Cannot remove default version for model ${name}`
      throw new ServerError('InvalidModelVersionException', text)
    }, drainMs)
  }

  /** Ends what is being downloaded and loaded, for the server stops; what is served goes on. */
  async stopLoading(): Promise<void> {
    this.#isStopping = true
    for (const model of this.all) model.stopStarting()
    await Promise.all([this.arrivals.stop(), this.#loader.stop()])
  }

  /** Ends everything and refuses what is still being loaded. What was registered stays in the state. */
  async close(): Promise<void> {
    await this.stopLoading()
    const versions = this.all
    this.#table.clear()
    await Promise.all(versions.map((version) => version.close(0, true)))
  }

  /** A version that is served, once it is loaded where it is being loaded. */
  async #whenLoaded(name: string, version?: string): Promise<ModelVersion> {
    while (!this.has(name, version)) {
      const load = this.loadOf(name, version)
      if (load === undefined) break
      await load.done
    }
    return this.get(name, version)
  }

  async #takeOut(choose: () => readonly ModelVersion[], drainMs: number): Promise<void> {
    let removed: readonly ModelVersion[] = []
    await this.changes.make((): Undo => {
      removed = choose()
      return this.#table.exchange(removed, [])
    })
    await Promise.all(removed.map((version) => version.close(drainMs)))
  }
}
