/** How a version is registered and scaled, and what it needs from the server. */
import type { Logger } from 'pino'
import type { Config, ConfigOrigins } from '../config/config.ts'
import type { Share } from '../share.ts'
import type { Undo } from './changes.ts'
import type { VersionOptions } from './effective-settings.ts'
import type { ModelIndex } from './model-index/model-index.ts'
import type { StepSource } from './pipelines/step-facts.ts'
import type { ModelMemory } from './residency/model-memory.ts'
import type { PredictionObserver } from './shadow/observed-prediction.ts'
import type { WeightCache } from './weights/weight-cache.ts'
import type { MemoryGuard } from './workers/memory-guard.ts'
import type { WorkerFactory } from './workers/worker-factory.ts'

/**
 * What requested a version: the start of the server, a request, or a request before the last
 * restart.
 */
export type Origin = 'start' | 'request' | 'restored'

/** How a version is registered. */
export interface Registration {
  readonly options: VersionOptions
  readonly origin: Origin
  /** Whether a model that loads on demand is loaded at once. */
  readonly loadsNow?: boolean | undefined
}

/** What every model version needs from the server. */
export interface ModelContext {
  readonly config: Config
  /** Origins of the settings that are not defaults. */
  readonly configOrigins: ConfigOrigins
  readonly factory: WorkerFactory
  /** Checks whether workers fit into memory; absent if nothing is checked. */
  readonly memory?: MemoryGuard | undefined
  /** Loads and unloads the models that load on demand. */
  readonly modelMemory: ModelMemory
  /** Remembers inputs and outputs; absent without a state folder and other HTTP processes. */
  readonly index?: ModelIndex | undefined
  /** Lets workers share weights; absent if each loads its own. */
  readonly weights?: WeightCache | undefined
  /** The models that pipelines call. */
  readonly steps: StepSource
  /** Sees each prediction; absent if nothing does. */
  readonly observer?: PredictionObserver | undefined
  /** The part of each model's workers that this process has; absent for all. */
  readonly share?: Share | undefined
  readonly log: Logger
}

/** The number of workers that a request wants. */
export interface WorkerLimits {
  readonly min: number
  readonly max: number
  /** Time for a retired worker to finish its batches; default: the queue timeout. */
  readonly timeoutMs?: number | undefined
}

/** Makes a change that is saved for the next start, or reverts it. */
export type Commit = (apply: () => Undo) => Promise<void>

/** A change of the number of workers that has begun. */
export interface Scaling {
  /**
   * Resolves when new workers are ready and retired ones have exited. Rejects with a ServerError if
   * a new worker cannot load the model; the workers that could load it stay.
   */
  readonly done: Promise<void>
}
