import { ServerError } from '../errors.ts'
import { Changes } from './changes.ts'
import { Failures } from './loading/failures.ts'
import { Loads, UnwantedLoadError } from './loading/loads.ts'
import type { Load, LoadedIdentity } from './loading/loads.ts'
import { ModelLoader } from './loading/model-loader.ts'
import { ModelTable } from './model-table.ts'
import type { ModelVersion } from './model-version.ts'
import type { ModelContext, Registration, Scaling, WorkerLimits } from './registration.ts'
import { ModelRollouts } from './rollout/model-rollouts.ts'
import { ModelRouting } from './routing/model-routing.ts'
import { ModelShadows } from './shadow/model-shadows.ts'
import { shownName } from './sources/model-name.ts'
import type { PreparedModel } from './sources/prepare.ts'
import { Arrivals } from './transfers/incoming-models.ts'
import { stopping } from './unavailable.ts'

/** The models that are served or being loaded, by name and version. */
export class Registry {
  /** Models that failed to load while no request waited for them. */
  readonly failures = new Failures()
  /** Downloads for registrations. */
  readonly arrivals = new Arrivals()
  /** Every change of the served models. It is saved before its caller learns that it was made. */
  readonly changes = new Changes()
  /** Running loads. */
  readonly loads = new Loads()
  /** Labels and weights. */
  readonly routing: ModelRouting
  readonly shadows: ModelShadows
  readonly rollouts: ModelRollouts
  readonly #table = new ModelTable()
  readonly #loader: ModelLoader
  #isStopping = false

  constructor(models: ModelContext) {
    const { failures, changes, loads } = this
    this.routing = new ModelRouting(this.#table, changes)
    this.shadows = new ModelShadows(this.#table, changes)
    this.rollouts = new ModelRollouts(this.#table, changes, models.log, this.shadows)
    const shared = { table: this.#table, changes, failures, loads }
    this.#loader = new ModelLoader({ models: { ...models, observer: this.shadows }, ...shared })
  }

  /** Names of the served models, sorted. */
  get names(): string[] {
    return this.#table.names
  }

  /** Every version of every served model. */
  get all(): ModelVersion[] {
    return this.#table.all
  }

  /** Models being loaded and not yet served; without a version until their files are prepared. */
  get loading(): readonly (ModelVersion | LoadedIdentity)[] {
    const all = this.loads.running.flatMap(({ current }) => current)
    return all.filter(({ name, version }) => !this.has(name, version))
  }

  /** The served model, if there is exactly one. */
  get only(): ModelVersion | undefined {
    const [first, ...others] = this.names
    return first !== undefined && others.length === 0 ? this.get(first) : undefined
  }

  /** As {@link begin}, but waits for the load. @throws ServerError also if the load fails. */
  async register(
    prepared: readonly PreparedModel[],
    registration: Registration,
  ): Promise<readonly ModelVersion[]> {
    return (await this.begin(prepared, registration)).done
  }

  /**
   * Begins to load the versions of one model, which then become visible together. For a new model
   * the last one becomes the default. After a failure no name, process or file is left.
   * @throws ServerError at once: `ConflictStatusException` if a version exists or is being loaded;
   * the error of any check that needs no process.
   */
  begin(prepared: readonly PreparedModel[], registration: Registration): Promise<Load> {
    return this.#loader.begin(prepared, registration)
  }

  /**
   * Begins to load a model that replaces all versions of its name, which serve until then.
   * @param prepare Finds the versions; it must stop when the signal is aborted.
   * @throws ServerError `ConflictStatusException` during another load of the name.
   */
  reload(
    name: string,
    registration: Registration,
    prepare: (signal: AbortSignal) => Promise<readonly PreparedModel[]>,
  ): Load {
    return this.#loader.beginAgain(name, registration, prepare)
  }

  /** Returns the load of a version, or of any version; maybe a reload of a served model. */
  loadOf(name: string, version?: string): Load | undefined {
    return this.loads.find(name, version)
  }

  /** Whether a model, or a version of it, is served. */
  has(name: string, version?: string): boolean {
    return this.#table.has(name, version)
  }

  /**
   * Returns a served version of a model; the default version if none is given.
   * @throws ServerError `ModelNotFoundException`, `ModelVersionNotFoundException`;
   * `ServiceUnavailableException` while it is being loaded, or the server starts.
   */
  get(name: string, version?: string): ModelVersion {
    const found = this.#table.find(name, version)
    if (found !== undefined) return found
    this.loads.throwIfPending(name, version)
    this.#table.versions(name)
    const text = `Model version: ${shownName(version ?? '')} does not exist for model: ${name}`
    throw new ServerError('ModelVersionNotFoundException', text)
  }

  /** Resolves when {@link find} and {@link versions} know the load's versions, or after 5 s. */
  async whenPrepared(name: string, version?: string): Promise<void> {
    if (!this.has(name, version)) await this.loadOf(name, version)?.whenPrepared()
  }

  /** As {@link get}, but also returns a version whose workers load the model for the first time. */
  find(name: string, version?: string): ModelVersion {
    const served = this.#table.find(name, version)
    if (served !== undefined) return served
    const loading = this.loadOf(name, version)?.versions.findLast(
      (model) => version === undefined || model.version === version,
    )
    return loading ?? this.get(name, version)
  }

  /**
   * Returns the versions of a model that are served or being loaded, oldest registration first.
   * @throws ServerError `ModelNotFoundException`, or as {@link get} until the versions are known.
   */
  versions(name: string): readonly ModelVersion[] {
    const served = this.has(name) ? this.#table.versions(name) : []
    const isNew = ({ version }: ModelVersion): boolean => !this.has(name, version)
    const loading = (this.loadOf(name)?.versions ?? []).filter(isNew)
    return served.length + loading.length > 0 ? [...served, ...loading] : [this.get(name)]
  }

  /** Whether requests without a version use this one. */
  isDefault(model: ModelVersion): boolean {
    return this.#table.isDefault(model)
  }

  /** Whether a request made it the default. */
  isChosenDefault(model: ModelVersion): boolean {
    return this.#table.isChosenDefault(model)
  }

  /**
   * Makes a version the default, now or when it is loaded. Requests that were already accepted
   * finish with the old default.
   * @param isSaved False if the change comes from the saved state.
   * @throws ServerError as {@link get}, or if the version cannot be loaded or the change saved.
   */
  async setDefault(name: string, version: string, isSaved = true): Promise<void> {
    await this.#whenLoaded(name, version)
    await this.changes.make(() => this.#table.chooseDefault(this.get(name, version)), isSaved)
  }

  /**
   * Brings the number of workers of a version within limits, now or when it is loaded.
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
      // Throws another error if the model was unregistered meanwhile.
      this.get(name, model.version)
      throw error
    })
    return { model, done: scaled }
  }

  /**
   * Unregisters a model: when the change is saved it becomes invisible, then its accepted requests
   * finish within `drainMs`, then its workers stop. Downloads and loads of the name are aborted.
   * @throws ServerError `ModelNotFoundException`, or if the change could not be saved.
   */
  async unregister(name: string, drainMs: number): Promise<void> {
    const ended = await Promise.all([
      this.arrivals.abort(name),
      this.loads.abort(name, new UnwantedLoadError('loaded')),
    ])
    if (ended.includes(true) && !this.has(name)) return
    await this.#takeOut(() => this.#table.versions(name), drainMs)
  }

  /**
   * Unregisters one version, as {@link unregister} does with a model. The last version removes the
   * model. A load of this version alone is aborted.
   * @throws ServerError as {@link get}; `InvalidModelVersionException` for one that is needed.
   */
  async unregisterVersion(name: string, version: string, drainMs: number): Promise<void> {
    const load = this.has(name, version) ? undefined : this.loadOf(name, version)
    const [first, ...others] = load?.models ?? []
    if (load !== undefined && first?.version === version && others.length === 0) {
      await load.abort(new UnwantedLoadError('loaded'))
      if (!this.has(name, version)) return
    }
    await this.#whenLoaded(name, version)
    await this.#takeOut(() => [this.#table.removable(this.get(name, version))], drainMs)
  }

  /** Aborts downloads and loads, and ends rollouts' looks, because the server stops. */
  async stopLoading(): Promise<void> {
    this.#isStopping = true
    this.rollouts.close()
    for (const model of this.all) model.stopStarting()
    await Promise.all([this.arrivals.stop(), this.#loader.stop()])
  }

  /** Closes all models and rejects loads. The saved state is not changed. */
  async close(): Promise<void> {
    await this.stopLoading()
    const versions = this.all
    this.#table.clear()
    await Promise.all(versions.map((version) => version.close(0, true)))
  }

  /** Returns a served version, after its load if it is being loaded. */
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
    await this.changes.make(() => this.#table.exchange((removed = choose()), []))
    await Promise.all(removed.map((version) => version.close(drainMs)))
  }
}
