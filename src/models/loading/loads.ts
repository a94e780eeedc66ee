import { ServerError } from '../../errors.ts'
import type { ModelVersion } from '../model-version.ts'
import type { Origin } from '../registration.ts'
import { shownName } from '../sources/model-name.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { waitAtMost } from '../wait-at-most.ts'

/** A description waits this long for the files of a model to be found or unpacked. */
const MAX_PREPARE_WAIT_MS = 5000

/** The model was unregistered during its load. The model itself is not broken. */
export class UnwantedLoadError extends ServerError {
  constructor(stage: 'downloaded' | 'loaded') {
    const text = `The model was unregistered while it was being ${stage}.`
    super('ConflictStatusException', text)
  }
}

/** A model in a load; its version may not be known yet. */
export type LoadedIdentity = Pick<PreparedModel, 'name'> & Partial<Pick<PreparedModel, 'version'>>

/** A load of the versions of one model. Their names are taken, but they cannot be used yet. */
export class Load<T = readonly ModelVersion[]> {
  readonly origin: Origin
  readonly startedAt = new Date()
  readonly #begun = performance.now()
  /** The result of the work. Rejects with the reason of {@link abort} if it was aborted. */
  readonly done: Promise<T>
  /** Aborted when the versions are no longer wanted. */
  readonly signal: AbortSignal
  /** Names, and the versions as far as they are known. */
  models: readonly LoadedIdentity[]
  /** Versions whose workers are starting; empty while the files are being prepared. */
  versions: readonly ModelVersion[] = []
  readonly #prepared: Promise<void>
  #sayPrepared = (): void => {}
  readonly #controller = new AbortController()

  constructor(
    models: readonly LoadedIdentity[],
    origin: Origin,
    work: (load: Load<T>) => Promise<T>,
  ) {
    this.models = models
    this.origin = origin
    this.signal = this.#controller.signal
    this.#prepared = new Promise((resolve) => (this.#sayPrepared = resolve))
    this.done = this.#run(work).finally(() => this.#sayPrepared())
    // The caller may await it later. Until then a failure must not be an unhandled rejection.
    this.done.catch(() => {})
  }

  /** Sets the versions of this load. */
  setVersions(versions: readonly ModelVersion[]): void {
    this.models = versions
    this.versions = versions
    this.#sayPrepared()
  }

  /** Milliseconds since the load began. */
  get elapsedMs(): number {
    return performance.now() - this.#begun
  }

  /** The versions, or the models as far as they are known. */
  get current(): readonly (ModelVersion | LoadedIdentity)[] {
    return this.versions.length > 0 ? this.versions : this.models
  }

  /** Resolves when the versions are known, when the load has ended, or after 5 s. */
  whenPrepared(): Promise<void> {
    return waitAtMost(MAX_PREPARE_WAIT_MS, this.#prepared)
  }

  /** Whether this load contains a version; any version of the name if none is given. */
  brings(name: string, version?: string): boolean {
    return this.models.some((model) => isWanted(model, name, version))
  }

  /** Aborts the work; resolves when nothing of it is left. */
  async abort(reason: ServerError): Promise<void> {
    this.#controller.abort(reason)
    await this.done.catch(() => {})
  }

  async #run(work: (load: Load<T>) => Promise<T>): Promise<T> {
    // The work must not start before the load is in the list of running loads.
    await Promise.resolve()
    try {
      return await work(this)
    } catch (error) {
      throw this.signal.aborted ? this.signal.reason : error
    }
  }
}

/** All running loads. */
export class Loads<T = readonly ModelVersion[]> {
  /** Whether the models of the start are still being loaded, so that more loads will begin. */
  isStarting = false
  /** Models that another HTTP process loads, or that this one will load because another one has. */
  elsewhere: readonly LoadedIdentity[] = []
  /** Called when a load begins or has ended. */
  onChange: () => void = () => {}
  readonly #running = new Set<Load<T>>()

  /** Running loads, oldest first. */
  get running(): readonly Load<T>[] {
    return [...this.#running]
  }

  /** Returns the newest load that contains a version; any version of the name if none is given. */
  find(name: string, version?: string): Load<T> | undefined {
    return this.running.findLast((load) => load.brings(name, version))
  }

  /** Whether this process or another one loads a version; any version if none is given. */
  isLoading(name: string, version?: string): boolean {
    return (
      this.find(name, version) !== undefined ||
      this.elsewhere.some((model) => isWanted(model, name, version))
    )
  }

  /** @throws ServerError `ServiceUnavailableException` if a version is or may yet be loaded. */
  throwIfPending(name: string, version?: string): void {
    const isLoading = this.isLoading(name, version)
    if (!isLoading && !this.isStarting) return
    const text = isLoading
      ? `Model ${name} is being loaded.`
      : `The server is starting and has not loaded a model ${shownName(name)} yet.`
    throw new ServerError('ServiceUnavailableException', text, { retryAfterSeconds: 1 })
  }

  /** Begins a load. The names of its models are taken until `work` has ended. */
  begin(
    models: readonly LoadedIdentity[],
    origin: Origin,
    work: (load: Load<T>) => Promise<T>,
  ): Load<T> {
    const load = new Load(models, origin, work)
    this.#running.add(load)
    const end = (): void => {
      this.#running.delete(load)
      this.onChange()
    }
    load.done.then(end, end)
    this.onChange()
    return load
  }

  /**
   * Aborts all loads of a name. Resolves when nothing of them is left, with whether there were any.
   */
  async abort(name: string, reason: ServerError): Promise<boolean> {
    const unwanted = this.running.filter((load) => load.brings(name))
    await Promise.all(unwanted.map((load) => load.abort(reason)))
    return unwanted.length > 0
  }

  /** Aborts all loads. */
  async abortAll(reason: ServerError): Promise<void> {
    await Promise.all(this.running.map((load) => load.abort(reason)))
  }
}

/** Whether a model may be the one with this name; its version may not be known yet. */
function isWanted(model: LoadedIdentity, name: string, version: string | undefined): boolean {
  return (
    model.name === name &&
    (version === undefined || model.version === undefined || model.version === version)
  )
}
