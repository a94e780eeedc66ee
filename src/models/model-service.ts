/** Builds everything of a server below HTTP: workers, models, memory, state and metrics. */
import path from 'node:path'
import type { Logger } from 'pino'
import type { Config, ConfigOrigins } from '../config/config.ts'
import { ConfigError, messageOf } from '../errors.ts'
import { readPackageVersion } from '../package-files.ts'
import type { Share } from '../share.ts'
import { findConfinement } from '../worker/host/confinement.ts'
import { workerEnvironment } from '../worker/host/own-worker.ts'
import { checkMetricsFile } from '../worker/host/python/metrics-file.ts'
import { findPython } from '../worker/host/python/python-installation.ts'
import type { PythonInstallation } from '../worker/host/python/python-installation.ts'
import { RuntimeDirectory } from '../worker/host/runtime-directory.ts'
import { ServerMetrics } from './metrics/page.ts'
import type { ObservedMemory } from './metrics/page.ts'
import { answerCalls } from './model-calls/answer-calls.ts'
import { ModelIndex } from './model-index/model-index.ts'
import { Recorder } from './recorder/recorder.ts'
import { Registry } from './registry.ts'
import { ModelMemory, memorySettings } from './residency/model-memory.ts'
import type { SourceOptions } from './sources/prepare.ts'
import { Persistence } from './state/persistence.ts'
import { StateFile } from './state/state-file.ts'
import { Deliveries } from './transfers/model-files.ts'
import { ModelRepository } from './triton/repository.ts'
import { cacheFolderOf } from './weights/cache-path.ts'
import { listEntries } from './weights/entry-list.ts'
import type { StoredEntry } from './weights/entry-list.ts'
import { WeightCache } from './weights/weight-cache.ts'
import { MemoryGuard } from './workers/memory-guard.ts'
import { WorkerFactory } from './workers/worker-factory.ts'

/** What {@link createModelService} needs. */
export interface ModelServiceOptions {
  readonly config: Config
  readonly origins: ConfigOrigins
  readonly environment: NodeJS.ProcessEnv
  /** Returns the available memory in bytes, for `checkMemory`; default: the value of the system. */
  readonly availableMemory?: (() => Promise<number>) | undefined
  readonly log: Logger
  /** Returns the number of log lines that could not be written so far. */
  readonly droppedLogLines?: (() => number) | undefined
  /** The part of each model's workers that this process has; absent for all. */
  readonly share?: Share | undefined
  /** Aborted when no further model may be loaded. */
  readonly signal: AbortSignal
  /** Aborted when the server must not start. */
  readonly stopSignal: AbortSignal | undefined
}

/** The weight cache as it is on disk. Other servers may use the same folder. */
export interface WeightCacheList {
  readonly folder: string
  /** The least recently used first. */
  readonly entries: readonly StoredEntry[]
}

/** The parts of a server that HTTP uses. */
export interface ModelService {
  readonly factory: WorkerFactory
  readonly registry: Registry
  readonly repository: ModelRepository
  readonly metrics: ServerMetrics
  readonly modelMemory: ObservedMemory
  /** Lists the entries of the weight cache; `undefined` if the cache is off. */
  readonly listWeightCache: () => Promise<WeightCacheList | undefined>
  readonly sources: SourceOptions
  readonly deliveries: Deliveries
  /** Absent without a state folder. */
  readonly persistence: Persistence | undefined
  /** Absent without a state folder and other HTTP processes. */
  readonly index: ModelIndex | undefined
  /** Absent if requests are not recorded. */
  readonly recorder: Recorder | undefined
  /** Ends all models and workers, and removes what belongs to this run. */
  close(): Promise<void>
}

/** @throws ConfigError if Python, the user of the workers or the recording cannot be used. */
export async function createModelService({
  config,
  origins,
  environment,
  availableMemory,
  log,
  droppedLogLines,
  share,
  signal,
  stopSignal,
}: ModelServiceOptions): Promise<ModelService> {
  const python = await findConfiguredPython(config, environment, stopSignal)
  const confinement = findConfinement(config, workerEnvironment(environment, []))
  const recorder = await Recorder.start(config, log)
  const runtime = await RuntimeDirectory.create(confinement.user, undefined, log)
  const removeRuntime = (): void => runtime.remove()
  process.once('exit', removeRuntime)
  const workers = { config, runtime, environment, confinement, log }
  const factory = new WorkerFactory({ ...workers, python, availableMemory })
  const guard = new MemoryGuard(availableMemory, () => factory.spares.giveUp())
  const memory = config.checkMemory ? guard : undefined
  const modelMemory = new ModelMemory({ ...memorySettings(config), log })
  const weights = WeightCache.create({ ...workers, memory: guard })
  const isFirst = share === undefined || share.index === 0
  // Only process 0 writes into the state folder, except for the weight cache.
  const stateDir = isFirst ? config.stateDir : ''
  const index =
    stateDir === '' && share === undefined
      ? undefined
      : new ModelIndex({ folder: stateDir || undefined, version: await readPackageVersion(), log })
  const shared = { factory, memory, modelMemory, index, weights, share }
  const steps = { get: (name: string, version?: string) => registry.get(name, version) }
  const context = { config, configOrigins: origins, ...shared, steps, log }
  const registry: Registry = new Registry(context)
  factory.callsOf = answerCalls(registry, config)
  const { modelStore, allowLocalPaths, drainTimeout } = config
  const sources: SourceOptions = {
    modelStore: modelStore === '' ? undefined : modelStore,
    temporaryRoot: runtime.path,
    allowLocalPaths,
    signal,
  }
  const deliveries = new Deliveries(path.resolve(stateDir || runtime.path, 'models'), config, log)
  const persistence =
    stateDir === ''
      ? undefined
      : new Persistence(stateFile(stateDir, log), { registry, deliveries, sources, log })
  const metrics = new ServerMetrics(() => registry.all, {
    starts: factory,
    modelMemory,
    rollouts: () => registry.rollouts.shown,
    droppedLogLines,
    recording: recorder?.counts,
    // Process 0 counts the copies of all processes.
    shadows: () => (isFirst ? registry.shadows.counts : []),
  })
  return {
    factory,
    registry,
    repository: new ModelRepository(registry, sources, drainTimeout * 1000),
    metrics,
    modelMemory,
    listWeightCache: async () => {
      if (weights === undefined) return undefined
      const folder = cacheFolderOf(config, environment)
      return { folder, entries: await listEntries(folder) }
    },
    sources,
    deliveries,
    persistence,
    index,
    recorder,
    async close() {
      await registry.close()
      modelMemory.close()
      await factory.close()
      await weights?.close()
      await index?.close()
      await persistence?.close()
      await recorder?.close()
      metrics.close()
      runtime.remove()
      process.off('exit', removeRuntime)
    },
  }
}

/** @throws ConfigError if models need a Python that cannot run them. */
async function findConfiguredPython(
  { python, metricsConfig, workerEnvironment: alsoAllowed }: Config,
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<PythonInstallation | undefined> {
  if (python === '') return undefined
  try {
    if (metricsConfig !== '') await checkMetricsFile(metricsConfig)
    return await findPython(python, workerEnvironment(environment, alsoAllowed), signal)
  } catch (cause) {
    throw new ConfigError(messageOf(cause), { cause })
  }
}

function stateFile(folder: string, log: Logger): StateFile {
  return new StateFile(folder, (problem) => log.error({ problem }, 'state file'))
}
