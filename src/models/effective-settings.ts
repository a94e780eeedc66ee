/** The settings that one model version runs with, and the origin of each. */
import { threadsPerWorker } from '../config/config.ts'
import type { Config, ConfigOrigin, ConfigOrigins } from '../config/config.ts'
import type { BatchDelay, JoinBatches, ModelSettings } from '../model-folder/settings.ts'
import type { PreparedModel } from './sources/prepare.ts'

/**
 * Settings of a registration. The others come from the model's files, then from the server's
 * settings.
 */
export interface VersionOptions {
  readonly handler?: string | undefined
  /**
   * The runtime that the caller named. It is kept, because the files must be found again with it.
   */
  readonly runtime?: string | undefined
  readonly workers?: number | undefined
  readonly batchSize?: number | undefined
  readonly maxBatchSize?: number | undefined
  readonly maxBatchDelayMs?: BatchDelay | undefined
  readonly joinBatches?: JoinBatches | undefined
  readonly priorityLevels?: number | undefined
  readonly defaultPriorityLevel?: number | undefined
  readonly responseTimeoutMs?: number | undefined
  readonly startupTimeoutMs?: number | undefined
}

/**
 * The origin of a setting: a request, a file of the model, the server's settings, or the default.
 */
export type SettingOrigin =
  | 'request'
  | 'model.json'
  | 'config.pbtxt'
  | 'manifest'
  | ConfigOrigin
  | 'default'

/** A value and its origin. */
export interface Setting<T> {
  readonly value: T
  readonly from: SettingOrigin
}

/** Settings of one model version, as its pool and its workers need them. */
export interface EffectiveSettings {
  readonly handler: string
  readonly workers: number
  readonly batchSize: number
  /**
   * Maximum batch dimension of one request, if the model's first dimension is open; 0 for no limit.
   */
  readonly maxBatchSize: number
  readonly maxBatchDelayMs: BatchDelay
  /** Whether requests of a batch share a run of the model. */
  readonly joinBatches: JoinBatches
  /** Number of priority levels; 1 disables priorities. */
  readonly priorityLevels: number
  /** Priority level of requests that do not set one. */
  readonly defaultPriorityLevel: number
  readonly responseTimeoutMs: number
  /** Whether workers start when the first request comes, and stop when memory is short. */
  readonly loadsOnDemand: boolean
  /** Load timeout: time for a worker to start and load the model. */
  readonly startupTimeoutMs: number
  readonly threads: number
}

/**
 * The same settings with their origins, and three that the worker resolves by the same rule. Names
 * and units are those of the REST API.
 */
export interface ShownSettings {
  readonly handler: Setting<string>
  readonly workers: Setting<number>
  readonly batchSize: Setting<number>
  /** Maximum batch dimension of one request; 0 for no limit. */
  readonly maxBatchSize: Setting<number>
  /** Milliseconds, or `auto`. */
  readonly maxBatchDelay: Setting<BatchDelay>
  readonly joinBatches: Setting<JoinBatches>
  readonly priorityLevels: Setting<number>
  /** Priority level of requests that do not set one. */
  readonly defaultPriorityLevel: Setting<number>
  /** Seconds. */
  readonly responseTimeout: Setting<number>
  /** Load timeout in seconds. */
  readonly startupTimeout: Setting<number>
  readonly threads: Setting<number>
  readonly graphOptimization: Setting<string>
  readonly providers: Setting<readonly string[]>
  readonly warmUp: Setting<boolean>
  /** Whether the model is loaded when its first request comes. */
  readonly loadOnDemand: Setting<boolean>
}

/** Takes each setting from the registration, else from the model's files, else from the server. */
export function resolveSettings(
  { handler, settings, settingsFrom }: PreparedModel,
  options: VersionOptions,
  config: Config,
  origins: ConfigOrigins,
): ShownSettings {
  const requested = <T>(value: T | undefined): Setting<T> | undefined =>
    value === undefined ? undefined : { value, from: 'request' }
  const own = <K extends keyof ModelSettings>(
    key: K,
  ): Setting<NonNullable<ModelSettings[K]>> | undefined => {
    const value = settings[key]
    const from = settingsFrom[key]
    return value === undefined || from === undefined ? undefined : { value, from }
  }
  const server = <K extends keyof Config>(key: K): Setting<Config[K]> => ({
    value: config[key],
    from: origins[key] ?? 'default',
  })
  const inManifest: Setting<string> =
    handler === '' ? { value: 'onnx', from: 'default' } : { value: handler, from: 'manifest' }
  const workers = requested(options.workers) ?? own('workers') ?? server('workers')
  const shared = server('threads')
  const priorityLevels =
    requested(options.priorityLevels) ?? own('priorityLevels') ?? server('priorityLevels')
  const level =
    requested(options.defaultPriorityLevel) ??
    own('defaultPriorityLevel') ??
    server('defaultPriorityLevel')
  return {
    handler: requested(options.handler) ?? own('handler') ?? inManifest,
    workers,
    batchSize: requested(options.batchSize) ?? own('batchSize') ?? server('batchSize'),
    maxBatchSize: requested(options.maxBatchSize) ??
      own('maxBatchSize') ?? { value: 0, from: 'default' },
    maxBatchDelay:
      requested(options.maxBatchDelayMs) ?? own('maxBatchDelay') ?? server('maxBatchDelay'),
    joinBatches: requested(options.joinBatches) ?? own('joinBatches') ?? server('joinBatches'),
    priorityLevels,
    defaultPriorityLevel: { ...level, value: levelWithin(priorityLevels.value, level.value) },
    responseTimeout: requested(seconds(options.responseTimeoutMs)) ?? server('responseTimeout'),
    startupTimeout: requested(seconds(options.startupTimeoutMs)) ?? server('loadTimeout'),
    threads: own('threads') ?? { ...shared, value: threadsPerWorker(config, workers.value) },
    graphOptimization: own('graphOptimization') ?? server('graphOptimization'),
    providers: own('providers') ?? server('providers'),
    warmUp: own('warmUp') ?? server('warmUp'),
    loadOnDemand: own('loadOnDemand') ?? {
      value: config.load === 'on-demand',
      from: origins.load ?? 'default',
    },
  }
}

/** Returns the values without their origins. */
export function valuesOf(shown: ShownSettings): EffectiveSettings {
  return {
    handler: shown.handler.value,
    workers: shown.workers.value,
    batchSize: shown.batchSize.value,
    maxBatchSize: shown.maxBatchSize.value,
    maxBatchDelayMs: shown.maxBatchDelay.value,
    joinBatches: shown.joinBatches.value,
    priorityLevels: shown.priorityLevels.value,
    defaultPriorityLevel: shown.defaultPriorityLevel.value,
    responseTimeoutMs: shown.responseTimeout.value * 1000,
    startupTimeoutMs: shown.startupTimeout.value * 1000,
    threads: shown.threads.value,
    loadsOnDemand: shown.loadOnDemand.value,
  }
}

/**
 * Returns a level that exists. If `wanted` is 0, it is the middle one; of two middle levels it is
 * the one with the larger number, which has the lower priority.
 */
function levelWithin(levels: number, wanted: number): number {
  return wanted === 0 ? Math.floor(levels / 2) + 1 : Math.min(wanted, levels)
}

function seconds(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : milliseconds / 1000
}
