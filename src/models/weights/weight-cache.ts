/**
 * Lets the workers of a model share its weights. onnxruntime writes the optimised model and its
 * packed weights once into a folder; workers map these files, so the weights are in memory once.
 */
import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import type { WeightsJob, WeightsResult } from '../../contract/shared-weights.ts'
import { messageOf, withoutFolders } from '../../errors.ts'
import { confine } from '../../worker/host/confinement.ts'
import type { Confinement } from '../../worker/host/confinement.ts'
import { weightsProcess, workerEnvironment } from '../../worker/host/own-worker.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { CacheFolderError } from './cache-folder.ts'
import type { CacheFolder } from './cache-folder.ts'
import { cacheFolderOf, openCacheFolder } from './cache-path.ts'
import { isPresent } from './entry-state.ts'
import { Flights } from './flights.ts'
import { findCacheable, rememberHashes, withHashes } from './source-files.ts'
import type { CacheableModel } from './source-files.ts'
import { VersionWeights } from './version-weights.ts'
import type { CachedWeights, PreparedWeights } from './version-weights.ts'
import { runWeightsProcess } from './weights-process.ts'
import type { ProcessLimits } from './weights-process.ts'

export type { VersionWeights, WeightStatus } from './version-weights.ts'

const MIB = 1024 * 1024
/** Another server may remove or publish the same entry at the same time. */
const MAX_ATTEMPTS = 4

/** What the cache needs from the server. */
export interface WeightCacheOptions {
  readonly config: Config
  readonly environment: NodeJS.ProcessEnv
  readonly confinement: Confinement
  readonly log: Logger
}

/** The weight cache of one server. The folder may be shared with other servers. */
export class WeightCache {
  readonly #options: WeightCacheOptions
  readonly #environment: Record<string, string>
  /** Entries that were checked since the server started, by the model's files and options. */
  readonly #checked = new Map<string, CachedWeights>()
  /** Number of versions that use an entry, by its key. */
  readonly #users = new Map<string, number>()
  readonly #flights = new Flights<PreparedWeights>()
  /** Settles when the last entry is prepared that nobody waits for. */
  #later: Promise<unknown> = Promise.resolve()
  #folder: Promise<CacheFolder> | undefined
  #isClosed = false

  /** Returns `undefined` if the cache is off. */
  static create(options: WeightCacheOptions): WeightCache | undefined {
    return options.config.weightCache === 'off' ? undefined : new WeightCache(options)
  }

  private constructor(options: WeightCacheOptions) {
    this.#options = options
    const { environment, config } = options
    this.#environment = workerEnvironment(environment, config.workerEnvironment)
  }

  /** Returns the weights of a version; nothing is read before they are prepared. */
  weightsOf(model: PreparedModel, settings: EffectiveSettings, log: Logger): VersionWeights {
    return new VersionWeights({
      findChecked: () => this.findChecked(model, settings),
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
    isUrgent = true,
  ): Promise<PreparedWeights> {
    try {
      const found = await this.#look(model, settings)
      if (!('sources' in found)) return found
      const timeoutMs = settings.startupTimeoutMs
      return await this.#flights.join(found.id, signal, (stop) =>
        this.#findOrBuild(found, { timeoutMs, stop, isUrgent }),
      )
    } catch (error) {
      return { reason: withoutFolders(messageOf(error, 300)) }
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
    const weights = this.#later.then(() => this.prepare(model, settings, signal, false))
    this.#later = weights
    return weights
  }

  /** Kills the processes that check or build entries, and waits until their folders are removed. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#flights.close()
    const folder = await this.#folder?.catch(() => undefined)
    await folder?.close()
  }

  async #findOrBuild(model: CacheableModel, limits: ProcessLimits): Promise<PreparedWeights> {
    const folder = await this.#open()
    if (folder === undefined) return { reason: 'The cache folder cannot be used; see the log.' }
    let isNew = false
    for (let attempt = 1; attempt <= MAX_ATTEMPTS && !limits.stop.aborted; attempt += 1) {
      const sources = await withHashes(model.sources, folder.path)
      const building = await folder.newBuilding()
      try {
        const result = await this.#run({ ...model, sources }, { folder, building }, limits)
        if (result.hashes !== undefined) await rememberHashes(sources, result.hashes, folder.path)
        isNew ||= result.outcome === 'built'
        const weights = await this.#use(result, { folder, building })
        if (weights === undefined) continue
        if (!('key' in weights)) return weights
        this.#checked.set(model.id, weights)
        await folder.touch(weights.key)
        await this.#shrink(folder, weights.key)
        return { ...weights, isNew }
      } finally {
        await folder.removeBuilding(building)
      }
    }
    return { reason: 'The files of the cache were changed again and again.' }
  }

  /** Returns `undefined` if the entry has to be looked at again. */
  async #use(
    result: WeightsResult,
    { folder, building }: { folder: CacheFolder; building: string },
  ): Promise<PreparedWeights | undefined> {
    const { damaged } = result
    if (damaged !== undefined) {
      this.#options.log.warn(
        { key: damaged.key.slice(0, 12), problem: damaged.problem },
        'an entry of the weight cache is damaged and was removed',
      )
      await folder.removeEntry(damaged.key)
    }
    switch (result.outcome) {
      case 'unfit':
        return { reason: result.reason }
      case 'found':
        return { key: result.key, ...result.shared }
      case 'built': {
        if (!(await folder.publish(building, result.record))) return undefined
        // Files that were copied have to be checked like those of any other server.
        if (this.#options.confinement.user !== undefined) return undefined
        const moved = folder.pathsOf(result.key)
        return {
          key: result.key,
          model: { ...result.shared.model, path: moved.model },
          weights: { ...result.shared.weights, path: moved.weights },
        }
      }
    }
  }

  async #run(
    { sources, threads, graphOptimization }: CacheableModel,
    { folder, building }: { folder: CacheFolder; building: string },
    limits: ProcessLimits,
  ): Promise<WeightsResult> {
    const { config, confinement } = this.#options
    const job: WeightsJob = {
      sources,
      entries: folder.path,
      building,
      owner: process.geteuid?.(),
      threads,
      graphOptimization,
      maxBytes: config.cacheSize * MIB,
    }
    const child = weightsProcess(
      {
        job: JSON.stringify(job),
        threads,
        heapMib: config.workerHeapMib,
        allowTelemetry: config.telemetry,
      },
      this.#environment,
    )
    return runWeightsProcess(confine(child, confinement), limits)
  }

  async #shrink(folder: CacheFolder, used: string): Promise<void> {
    const { config, log } = this.#options
    const isInUse = (key: string): boolean => key === used || (this.#users.get(key) ?? 0) > 0
    try {
      const removed = await folder.shrink(config.cacheSize * MIB, isInUse)
      if (removed.length > 0) log.info({ removed: removed.length }, 'weight cache entries removed')
    } catch (error) {
      log.warn({ reason: messageOf(error, 200) }, 'old entries of the weight cache stay')
    }
  }

  /** Opens the folder once. Returns `undefined` if it cannot be used; the log says why. */
  async #open(): Promise<CacheFolder | undefined> {
    const { config, environment, log } = this.#options
    if (this.#isClosed) return undefined
    const folder = cacheFolderOf(config, environment)
    this.#folder ??= openCacheFolder(folder, this.#options).catch((error: unknown) => {
      const reason = error instanceof CacheFolderError ? error.message : messageOf(error, 200)
      log.warn({ folder, reason }, 'weights are not shared; set --cache-dir to another folder')
      throw error
    })
    return this.#folder.catch(() => undefined)
  }
}
