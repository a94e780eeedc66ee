/**
 * Every setting of the server: one schema with names, types, defaults and documentation. A setting
 * is a flag (`--batch-size 8`), an environment variable (`ONNXD_BATCH_SIZE=8`) and a key of the
 * config file (`batchSize: 8`). The flag overrides the variable, and the variable overrides the
 * file.
 */
import { availableParallelism } from 'node:os'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ConfigError } from '../errors.ts'
import { problemWith } from '../schema.ts'
import { accessSettings } from './access-settings.ts'
import { grpcSettings } from './grpc-settings.ts'
import type { ConfigOrigin, Settings } from './layers.ts'
import { listenerSettings } from './listeners.ts'
import { modelSettings } from './models.ts'
import { recordingSettings } from './recording-settings.ts'

export { environmentName, flagName } from './layers.ts'
export type { ConfigOrigin, Settings } from './layers.ts'

export const ConfigSchema = Type.Object(
  {
    ...listenerSettings,
    ...grpcSettings,
    ...accessSettings,
    ...modelSettings,
    ...recordingSettings,
  },
  { additionalProperties: false },
)

/**
 * All settings, with defaults and checked. The description of a setting names the unit of a time.
 */
export type Config = Readonly<Static<typeof ConfigSchema>>

/** The origin of each setting; a setting that is absent has its default. */
export type ConfigOrigins = Readonly<Partial<Record<keyof Config, ConfigOrigin>>>

/**
 * Adds the defaults of absent settings and freezes the result.
 * @throws ConfigError if a setting is not valid.
 */
export function completeConfig(settings: Settings = {}): Config {
  const config: unknown = Value.Default(ConfigSchema, { ...settings })
  if (!Value.Check(ConfigSchema, config)) {
    throw new ConfigError(
      `Settings are not valid: ${problemWith(ConfigSchema, config) ?? 'unknown problem'}.`,
    )
  }
  for (const value of Object.values(config)) Object.freeze(value)
  return Object.freeze(config)
}

/** Cores for which `auto` starts one HTTP process: the others are for its workers. */
const CORES_PER_PROCESS = 4
const MAX_AUTO_PROCESSES = 8

/** Returns the number of HTTP processes: the setting, or a quarter of the cores, at most 8. */
export function processesOf({ httpProcesses }: Pick<Config, 'httpProcesses'>): number {
  if (httpProcesses !== 'auto') return httpProcesses
  const quarter = Math.floor(availableParallelism() / CORES_PER_PROCESS)
  return Math.min(Math.max(1, quarter), MAX_AUTO_PROCESSES)
}

/**
 * Returns the threads within one operator for each of `workers` workers: the setting, or the cores
 * divided by the workers. Each HTTP process has at least one worker.
 */
export function threadsPerWorker(config: Config, workers: number): number {
  return config.threads > 0
    ? config.threads
    : Math.max(1, Math.floor(availableParallelism() / Math.max(workers, processesOf(config))))
}
