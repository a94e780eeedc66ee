import type { Logger } from 'pino'
/**
 * Lets the workers of a model share its weights. onnxruntime writes the optimised model and its
 * packed weights once into a folder; workers map these files, so the weights are in memory once.
 */
import { bytesOf } from '../../contract/shared-weights.ts'
import { messageOf, withoutFolders } from '../../errors.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import type { MemoryGuard } from '../workers/memory-guard.ts'
import { Entries, GIVEN_UP } from './entries.ts'
import type { EntriesOptions } from './entries.ts'
import { isPresent } from './entry-state.ts'
import { Flights } from './flights.ts'
import { findCacheable } from './source-files.ts'
import type { CacheableModel } from './source-files.ts'
import { VersionWeights } from './version-weights.ts'
import type { CachedWeights, PreparedWeights } from './version-weights.ts'
import type { ProcessLimits } from './weights-process.ts'

export type { VersionWeights, WeightStatus } from './version-weights.ts'

const MIB = 1024 * 1024
/** Memory of a build: the process, and copies of the `.onnx` file. */
const BUILD_BYTES = 100 * MIB
const BUILD_COPIES = 3
const TOO_LITTLE_MEMORY =
  'Too little memory is free to prepare shared weights beside the running workers.'

/** What the cache needs from the server. */
export interface WeightCacheOptions extends EntriesOptions {
  /** Says whether a build fits into memory beside the running workers. */
  readonly memory: MemoryGuard
}

/** What may be done for an entry that the cache does not have. */
interface BuildOptions {
  readonly mayBuild: boolean
  /** False if no request or start waits. Then the build must fit beside what runs. */
  readonly isUrgent: boolean
}

const FIND: BuildOptions = { mayBuild: false, isUrgent: true }
const BUILD_NOW: BuildOptions = { mayBuild: true, isUrgent: true }
const BUILD_LATER: BuildOptions = { mayBuild: true, isUrgent: false }

/** The weight cache of one server. The folder may be shared with other servers. */
export class WeightCache {
  readonly #options: WeightCacheOptions
  readonly #entries: Entries
  /** Entries that were checked since the server started, by the model's files and options. */
  readonly #checked = new Map<string, CachedWeights>()
  /** Number of versions that use an entry, by its key. */
  readonly #users = new Map<string, number>()
  readonly #flights = new Flights<PreparedWeights | undefined>()
  /** Settles when the last entry is prepared that nobody waits for. */
  #later: Promise<unknown> = Promise.resolve()

  /** Returns `undefined` if the cache is off. */
  static create(options: WeightCacheOptions): WeightCache | undefined {
    return options.config.weightCache === 'off' ? undefined : new WeightCache(options)
  }

  private constructor(options: WeightCacheOptions) {
    this.#options = options
    this.#entries = new Entries(options)
  }

  /** Returns the weights of a version; nothing is read before they are prepared. */
  weightsOf(model: PreparedModel, settings: EffectiveSettings, log: Logger): VersionWeights {
    return new VersionWeights({
      findChecked: () => this.findChecked(model, settings),
      find: (signal) => this.find(model, settings, signal),
      prepare: (signal) => this.prepare(model, settings, signal),
      prepareLater: (signal) => this.#prepareLater(model, settings, signal),
      hold: (key) => this.#users.set(key, (this.#users.get(key) ?? 0) + 1),
      release: (key) => this.#users.set(key, (this.#users.get(key) ?? 1) - 1),
      maxWaitMs: settings.startupTimeoutMs / 2,
      log,
    })
  }

  /**
   * Finds, checks or builds the entry of a model. Calls for the same files share the work. Never
   * rejects.
   * @param signal Stops waiting; the work is stopped when nobody waits for it.
   */
  async prepare(
    model: PreparedModel,
    settings: EffectiveSettings,
    signal: AbortSignal,
  ): Promise<PreparedWeights> {
    return (await this.#join(model, settings, signal, BUILD_NOW)) ?? { reason: GIVEN_UP }
  }

  /** As {@link prepare}, but builds nothing; `undefined` if there is no entry to use. */
  find(
    model: PreparedModel,
    settings: EffectiveSettings,
    signal: AbortSignal,
  ): Promise<PreparedWeights | undefined> {
    return this.#join(model, settings, signal, FIND)
  }

  async #join(
    model: PreparedModel,
    settings: EffectiveSettings,
    signal: AbortSignal,
    build: BuildOptions,
  ): Promise<PreparedWeights | undefined> {
    try {
      const found = await this.#look(model, settings)
      if (!('sources' in found)) return found
      const { mayBuild, isUrgent } = build
      const timeoutMs = settings.startupTimeoutMs
      return await this.#flights.join(`${String(mayBuild)} ${found.id}`, signal, (stop) =>
        isUrgent
          ? this.#findOrBuild(found, { timeoutMs, stop, isUrgent }, mayBuild)
          : this.#buildBeside(found, { timeoutMs, stop, isUrgent }),
      )
    } catch (error) {
      return { reason: withoutFolders(messageOf(error, 300)) }
    }
  }

  /** Builds an entry while workers run, if there is memory for both. */
  async #buildBeside(
    model: CacheableModel,
    limits: ProcessLimits,
  ): Promise<PreparedWeights | undefined> {
    const [file, ...external] = model.sources
    const fileBytes = file === undefined ? 0 : bytesOf([file])
    // Weights beside the `.onnx` file are mapped; mostly a part of them is copied at a time.
    const bytes = BUILD_BYTES + BUILD_COPIES * fileBytes + bytesOf(external)
    const release = await this.#options.memory.reserve(bytes)
    if (release === undefined) return { reason: TOO_LITTLE_MEMORY }
    try {
      return await this.#findOrBuild(model, limits, true)
    } finally {
      release()
    }
  }

  /** As {@link prepare}, without a process; `undefined` if the entry must be checked or built. */
  async findChecked(
    model: PreparedModel,
    settings: EffectiveSettings,
  ): Promise<PreparedWeights | undefined> {
    try {
      const found = await this.#look(model, settings)
      return 'sources' in found ? undefined : found
    } catch (error) {
      return { reason: withoutFolders(messageOf(error, 300)) }
    }
  }

  async #look(
    model: PreparedModel,
    settings: EffectiveSettings,
  ): Promise<PreparedWeights | CacheableModel> {
    const found = await findCacheable(model, settings, this.#options.config)
    if (typeof found === 'string') return { reason: found }
    const known = this.#checked.get(found.id)
    return known !== undefined && isPresent(known) ? known : found
  }

  /** One at a time. */
  #prepareLater(
    model: PreparedModel,
    settings: EffectiveSettings,
    signal: AbortSignal,
  ): Promise<PreparedWeights> {
    const weights = this.#later.then(() => this.#join(model, settings, signal, BUILD_LATER))
    this.#later = weights
    return weights.then((prepared) => prepared ?? { reason: GIVEN_UP })
  }

  /** Kills the processes that check or build entries, and waits until their folders are removed. */
  async close(): Promise<void> {
    this.#entries.stop()
    await this.#flights.close()
    await this.#entries.close()
  }

  async #findOrBuild(
    model: CacheableModel,
    limits: ProcessLimits,
    mayBuild: boolean,
  ): Promise<PreparedWeights | undefined> {
    const isInUse = (key: string): boolean => (this.#users.get(key) ?? 0) > 0
    const weights = await this.#entries.findOrBuild(model, limits, { mayBuild, isInUse })
    if (weights === undefined || !('key' in weights)) return weights
    const { isNew: _isNew, ...checked } = weights
    this.#checked.set(model.id, checked)
    // The first load of an entry is logged as one that the cache did not have.
    return weights
  }
}
