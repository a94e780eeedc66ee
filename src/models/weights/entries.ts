/** Finds, checks and builds the entries of the weight cache, each in a process of its own. */
import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import { bytesOf } from '../../contract/shared-weights.ts'
import type { WeightsJob, WeightsResult } from '../../contract/shared-weights.ts'
import { messageOf } from '../../errors.ts'
import { confine } from '../../worker/host/confinement.ts'
import type { Confinement } from '../../worker/host/confinement.ts'
import { weightsProcess, workerEnvironment } from '../../worker/host/own-worker.ts'
import { CacheFolderError } from './cache-folder.ts'
import type { CacheFolder } from './cache-folder.ts'
import { cacheFolderOf, openCacheFolder } from './cache-path.ts'
import { mayHaveEntry } from './entry-list.ts'
import { rememberHashes, withHashes } from './source-files.ts'
import type { CacheableModel } from './source-files.ts'
import type { PreparedWeights } from './version-weights.ts'
import { runWeightsProcess } from './weights-process.ts'
import type { ProcessLimits } from './weights-process.ts'

const MIB = 1024 * 1024
/** Another server may remove or publish the same entry at the same time. */
const MAX_ATTEMPTS = 4
export const GIVEN_UP = 'The files of the cache were changed again and again.'

/** What {@link Entries} needs from the server. */
export interface EntriesOptions {
  readonly config: Config
  readonly environment: NodeJS.ProcessEnv
  readonly confinement: Confinement
  readonly log: Logger
}

/** What may be done with entries. */
interface EntryUse {
  /** Whether to build the entry if there is none. */
  readonly mayBuild: boolean
  /** Whether an entry must not be removed when the cache is full. */
  readonly isInUse: (key: string) => boolean
}

interface Place {
  readonly folder: CacheFolder
  /** Empty folder for a new entry. */
  readonly building: string
}

/** The entries in the cache folder, which is opened when it is needed. */
export class Entries {
  readonly #options: EntriesOptions
  readonly #environment: Record<string, string>
  #folder: Promise<CacheFolder> | undefined
  #isStopped = false

  constructor(options: EntriesOptions) {
    this.#options = options
    const { environment, config } = options
    this.#environment = workerEnvironment(environment, config.workerEnvironment)
  }

  /** From now on, the folder is not opened any more. */
  stop(): void {
    this.#isStopped = true
  }

  /** Call it when no work is in progress. */
  async close(): Promise<void> {
    this.stop()
    const folder = await this.#folder?.catch(() => undefined)
    await folder?.close()
  }

  /** Returns `undefined` if there is no entry and none may be built. */
  async findOrBuild(
    model: CacheableModel,
    limits: ProcessLimits,
    { mayBuild, isInUse }: EntryUse,
  ): Promise<PreparedWeights | undefined> {
    const folder = await this.#open()
    if (folder === undefined) return { reason: 'The cache folder cannot be used; see the log.' }
    const mayHave = mayBuild || (await mayHaveEntry(folder.path, bytesOf(model.sources)))
    if (!mayHave) return undefined
    let isNew = false
    for (let attempt = 1; attempt <= MAX_ATTEMPTS && !limits.stop.aborted; attempt += 1) {
      const sources = await withHashes(model.sources, folder.path)
      const building = await folder.newBuilding()
      try {
        const place = { folder, building, mayBuild }
        const result = await this.#run({ ...model, sources }, place, limits)
        if (result.hashes !== undefined) await rememberHashes(sources, result.hashes, folder.path)
        isNew ||= result.outcome === 'built'
        const weights = await this.#use(result, { folder, building })
        if (result.outcome === 'missing') return undefined
        if (weights === undefined) continue
        if (!('key' in weights)) return weights
        await folder.touch(weights.key)
        await this.#shrink(folder, (key) => key === weights.key || isInUse(key))
        return { ...weights, isNew }
      } finally {
        await folder.removeBuilding(building)
      }
    }
    return { reason: GIVEN_UP }
  }

  /** Returns `undefined` if the entry has to be looked at again. */
  async #use(
    result: WeightsResult,
    { folder, building }: Place,
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
      case 'missing':
        return undefined
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
    { folder, building, mayBuild }: Place & { readonly mayBuild: boolean },
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
      mayBuild,
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

  async #shrink(folder: CacheFolder, isInUse: (key: string) => boolean): Promise<void> {
    const { config, log } = this.#options
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
    if (this.#isStopped) return undefined
    const folder = cacheFolderOf(config, environment)
    this.#folder ??= openCacheFolder(folder, this.#options).catch((error: unknown) => {
      const reason = error instanceof CacheFolderError ? error.message : messageOf(error, 200)
      log.warn({ folder, reason }, 'weights are not shared; set --cache-dir to another folder')
      throw error
    })
    return this.#folder.catch(() => undefined)
  }
}
