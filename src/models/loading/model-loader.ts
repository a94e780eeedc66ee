/** Loads models: starts all versions at the same time, then makes them visible in one step. */
import { ServerError } from '../../errors.ts'
import type { Changes } from '../changes.ts'
import type { ModelTable } from '../model-table.ts'
import { ModelVersion } from '../model-version.ts'
import type { ModelContext, Registration } from '../registration.ts'
import { logConfigReport } from '../sources/config-pbtxt/config-report.ts'
import { discard } from '../sources/prepare.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { stopping } from '../unavailable.ts'
import type { Failures } from './failures.ts'
import { logProgress } from './load-progress.ts'
import type { Load, Loads } from './loads.ts'

/** Dependencies of {@link ModelLoader}. */
export interface LoaderContext {
  readonly models: ModelContext
  readonly table: ModelTable
  readonly changes: Changes
  readonly failures: Failures
  readonly loads: Loads
}

/** Starts versions and adds them to the table when all of them are ready. */
export class ModelLoader {
  readonly loads: Loads
  readonly #context: LoaderContext
  #isStopping = false

  constructor(context: LoaderContext) {
    this.#context = context
    this.loads = context.loads
  }

  /**
   * Begins to load the versions of one model. If it throws, nothing of them is left.
   * @throws ServerError at once: `ConflictStatusException` if a version exists or is being loaded;
   * the error of any check that needs no process.
   */
  async begin(prepared: readonly PreparedModel[], registration: Registration): Promise<Load> {
    const { table, models } = this.#context
    try {
      if (this.#isStopping) throw stopping()
      for (const { name, version } of prepared) {
        if (table.has(name, version) || this.loads.find(name, version)) throw taken(name)
      }
      const versions = ModelVersion.createAll(prepared, registration, models)
      this.#report(prepared)
      return this.loads.begin(prepared, registration.origin, (load) =>
        this.#bring(load, versions, false),
      )
    } catch (error) {
      const isRestored = registration.origin === 'restored'
      await Promise.all(prepared.map((model) => discard(model, isRestored)))
      throw error
    }
  }

  /**
   * Begins to load a model that replaces all versions of its name. The old versions serve until
   * then.
   * @param prepare Finds the versions; it must stop when the signal is aborted.
   * @throws ServerError `ConflictStatusException` during another load of the name.
   */
  beginAgain(
    name: string,
    registration: Registration,
    prepare: (signal: AbortSignal) => Promise<readonly PreparedModel[]>,
  ): Load {
    if (this.#isStopping) throw stopping()
    if (this.loads.find(name) !== undefined) throw taken(name)
    return this.loads.begin([{ name }], registration.origin, async (load) => {
      const prepared = await prepare(load.signal)
      let versions: readonly ModelVersion[]
      try {
        load.signal.throwIfAborted()
        versions = ModelVersion.createAll(prepared, registration, this.#context.models)
        this.#report(prepared)
      } catch (error) {
        await Promise.all(prepared.map((model) => discard(model)))
        throw error
      }
      return this.#bring(load, versions, true)
    })
  }

  /** The other HTTP processes read the same configuration, so process 0 alone logs it. */
  #report(prepared: readonly PreparedModel[]): void {
    const { share, log } = this.#context.models
    if ((share?.index ?? 0) === 0) logConfigReport(prepared, log)
  }

  /** Aborts all loads and rejects new ones. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.loads.abortAll(stopping())
  }

  /**
   * Starts the workers, makes the versions visible and saves the change. After a failure nothing of
   * the versions is left.
   */
  async #bring(
    load: Load,
    versions: readonly ModelVersion[],
    replaces: boolean,
  ): Promise<readonly ModelVersion[]> {
    const { table, changes, failures, models } = this.#context
    const { signal } = load
    load.setVersions(versions)
    logProgress(load, models.log)
    let replaced: readonly ModelVersion[] = []
    try {
      const outcomes = await Promise.allSettled(versions.map((version) => version.load(signal)))
      signal.throwIfAborted()
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
      await changes.make(() => {
        signal.throwIfAborted()
        const [first] = versions
        const isServed = first !== undefined && table.has(first.name)
        replaced = replaces && isServed ? table.versions(first.name) : []
        return table.exchange(replaced, versions)
      }, load.origin === 'request')
    } catch (error) {
      const isRestored = load.origin === 'restored'
      await Promise.all(versions.map((version) => version.close(0, isRestored)))
      throw error
    }
    for (const { prepared } of versions) failures.settle(prepared)
    for (const old of replaced) void old.close(models.config.drainTimeout * 1000)
    return versions
  }
}

function taken(name: string): ServerError {
  return new ServerError('ConflictStatusException', `Model ${name} is already registered.`)
}
