/** How a version is registered and scaled, and what it needs of the server for that. */
import type { Logger } from 'pino'
import type { Config, ConfigOrigins } from '../config/config.ts'
import type { Undo } from './changes.ts'
import type { VersionOptions } from './effective-settings.ts'
import type { MemoryGuard } from './workers/memory-guard.ts'
import type { WorkerFactory } from './workers/worker-factory.ts'

/** Who asked for a version: the command line, a request, or a request before the last restart. */
export type Origin = 'start' | 'request' | 'restored'

/** How a version is registered. */
export interface Registration {
  readonly options: VersionOptions
  readonly origin: Origin
}

/** What every model version needs of the server. */
export interface ModelContext {
  readonly config: Config
  /** Who set the settings that are not the defaults. */
  readonly configOrigins: ConfigOrigins
  readonly factory: WorkerFactory
  /** Decides what fits; absent where nothing is to be refused. */
  readonly memory?: MemoryGuard | undefined
  readonly log: Logger
}

/** The number of workers that a request wants. */
export interface WorkerLimits {
  readonly min: number
  readonly max: number
  /** What a retired worker gets to finish what it has in hand; as long as a request may wait when absent. */
  readonly timeoutMs?: number | undefined
}

/** Makes a change that a restart should remember, or takes it back. */
export type Commit = (apply: () => Undo) => Promise<void>

/** A change of the number of workers that has begun. */
export interface Scaling {
  /** They are ready, or gone. @throws ServerError when a new worker cannot load the model; those that could stay. */
  readonly done: Promise<void>
}
