import { ServerError } from '../errors.ts'
import type { ModelVersion } from './model-version.ts'
import type { Origin } from './registration.ts'
import type { PreparedModel } from './sources/prepare.ts'
import { waitAtMost } from './wait-at-most.ts'

/** How long a description waits for the files of a model to be found, or unpacked. */
const MAX_PREPARE_WAIT_MS = 5000

/** Nothing is wrong with the model: somebody unregistered it meanwhile. */
export class UnwantedLoadError extends ServerError {
  constructor(stage: 'downloaded' | 'loaded') {
    const text = `The model was unregistered while it was being ${stage}.`
    super('ConflictStatusException', text)
  }
}

/** The version may not be known yet. */
export type LoadedIdentity = Pick<PreparedModel, 'name'> & Partial<Pick<PreparedModel, 'version'>>

/** The versions of one model on their way: their names are taken, and nobody can use them yet. */
export class Load<T = readonly ModelVersion[]> {
  readonly origin: Origin
  /** What the work leads to. Rejects with the reason of {@link abort} when it was aborted. */
  readonly done: Promise<T>
  /** Aborted when nobody wants the versions any more. */
  readonly signal: AbortSignal
  /** Names, and the versions as far as they are known. */
  models: readonly LoadedIdentity[]
  /** The versions whose workers are being started; empty while the files are being prepared. */
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
    // Whoever has begun it looks at the outcome in its own time.
    this.done.catch(() => {})
  }

  /** Tells which versions it brings. */
  setVersions(versions: readonly ModelVersion[]): void {
    this.models = versions
    this.versions = versions
    this.#sayPrepared()
  }

  /** Resolves when the versions are known or the load is over, or after some seconds. */
  whenPrepared(): Promise<void> {
    return waitAtMost(MAX_PREPARE_WAIT_MS, this.#prepared)
  }

  /** Whether it brings a version; any version of the name when none is given. */
  brings(name: string, version?: string): boolean {
    return this.models.some(
      (model) =>
        model.name === name &&
        (version === undefined || model.version === undefined || model.version === version),
    )
  }

  /** Ends the work; resolves when nothing of it is left. */
  async abort(reason: ServerError): Promise<void> {
    this.#controller.abort(reason)
    await this.done.catch(() => {})
  }

  async #run(work: (load: Load<T>) => Promise<T>): Promise<T> {
    // Not before the load is in the list of those that run.
    await Promise.resolve()
    try {
      return await work(this)
    } catch (error) {
      throw this.signal.aborted ? this.signal.reason : error
    }
  }
}

/** What is being loaded. */
export class Loads<T = readonly ModelVersion[]> {
  readonly #running = new Set<Load<T>>()

  /** All of them, oldest first. */
  get running(): readonly Load<T>[] {
    return [...this.#running]
  }

  /** The newest load that brings a version; any version of the name when none is given. */
  find(name: string, version?: string): Load<T> | undefined {
    return this.running.findLast((load) => load.brings(name, version))
  }

  /** Begins a load; its models are taken until `work` is over. */
  begin(
    models: readonly LoadedIdentity[],
    origin: Origin,
    work: (load: Load<T>) => Promise<T>,
  ): Load<T> {
    const load = new Load(models, origin, work)
    this.#running.add(load)
    const end = (): void => void this.#running.delete(load)
    load.done.then(end, end)
    return load
  }

  /** Ends what is being loaded under a name; says when nothing of it is left whether there was anything. */
  async abort(name: string, reason: ServerError): Promise<boolean> {
    const unwanted = this.running.filter((load) => load.brings(name))
    await Promise.all(unwanted.map((load) => load.abort(reason)))
    return unwanted.length > 0
  }

  /** Ends everything. */
  async abortAll(reason: ServerError): Promise<void> {
    await Promise.all(this.running.map((load) => load.abort(reason)))
  }
}
