/** The settings that one model version runs with, and the origin of each. */
import { threadsPerWorker } from '../config/config.ts'
import type { Config, ConfigOrigin, ConfigOrigins } from '../config/config.ts'
import { PIPELINE_HANDLER } from '../model-folder/pipeline.ts'
import { SETTING_NAMES, serverDefaultOf } from '../model-folder/version-settings.ts'
import type {
  BatchDelay,
  JoinBatches,
  RequestedSettings,
  SettingName,
  SettingValue,
} from '../model-folder/version-settings.ts'
import type { PreparedModel } from './sources/prepare.ts'

/**
 * Settings of a registration. The others come from the model's files, then from the server's
 * settings.
 */
export interface VersionOptions extends RequestedSettings {
  /**
   * The runtime that the caller named. It is kept, because the files must be found again with it.
   */
  readonly runtime?: string | undefined
  /** Set by the configuration in a load request of the Open Inference Protocol. */
  readonly maxBatchSize?: number | undefined
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

/** Settings that a measurement changes. */
export interface SettingOverrides {
  readonly threads: number
  readonly graphOptimization: SettingValue<'graphOptimization'>
}

/** All settings with their origins. Names and units are those of the REST API. */
export type ShownSettings = { readonly [K in SettingName]: Setting<SettingValue<K>> }

/** A worker of a pipeline only waits for others, so it serves several requests at the same time. */
const PIPELINE_BATCH_SIZE = 16

/** Takes each setting from the registration, else from the model's files, else from the server. */
export function resolveSettings(
  { handler, settings, settingsFrom }: PreparedModel,
  options: VersionOptions,
  config: Config,
  origins: ConfigOrigins,
): ShownSettings {
  const requested: Readonly<Record<string, unknown>> = { ...options }
  const ofFile: Readonly<Record<string, unknown>> = settings
  const fileOf: Readonly<Record<string, SettingOrigin | undefined>> = settingsFrom
  const defaults: Partial<Record<SettingName, Setting<unknown>>> = {
    handler:
      handler === '' ? { value: 'onnx', from: 'default' } : { value: handler, from: 'manifest' },
    maxBatchSize: { value: 0, from: 'default' },
    loadOnDemand:
      config.load === 'on-demand'
        ? { value: true, from: origins.load ?? 'default' }
        : { value: false, from: 'default' },
  }
  const resolve = (name: SettingName): Setting<unknown> | undefined => {
    const server = serverDefaultOf(name)
    const from = fileOf[name]
    if (requested[name] !== undefined) return { value: requested[name], from: 'request' }
    if (ofFile[name] !== undefined && from !== undefined) return { value: ofFile[name], from }
    if (name === 'batchSize' && handler === PIPELINE_HANDLER && origins.batchSize === undefined)
      return { value: PIPELINE_BATCH_SIZE, from: 'default' }
    if (server === undefined) return defaults[name]
    return { value: config[server], from: origins[server] ?? 'default' }
  }
  // The values fit the schemas of the table: each source was checked with them.
  const shown = Object.fromEntries(
    SETTING_NAMES.map((name) => [name, resolve(name)]),
  ) as ShownSettings
  const { workers, threads, priorityLevels, defaultPriorityLevel } = shown
  const isOwnThreads = settings.threads !== undefined
  return {
    ...shown,
    threads: isOwnThreads
      ? threads
      : { ...threads, value: threadsPerWorker(config, workers.value) },
    defaultPriorityLevel: {
      ...defaultPriorityLevel,
      value: levelWithin(priorityLevels.value, defaultPriorityLevel.value),
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
