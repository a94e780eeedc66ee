import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import type { ServerError } from '../../errors.ts'
import type { BatchDelay } from '../../model-folder/version-settings.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import type { QueueLimits } from './queue/job-queue.ts'
import type { PoolWorker } from './slots/slot.ts'

/** Starts workers when a request comes. */
export interface WorkersOnDemand {
  /** Whether requests may wait without a worker. */
  readonly canStart: () => boolean
  /** Why a request cannot be accepted now. */
  readonly rejection: () => ServerError | undefined
  /** A request was accepted. */
  readonly onRequest: () => void
}

/** Options of a pool, fixed for the life of a model version. */
export interface PoolOptions {
  readonly modelName: string
  readonly version: string
  /** Maximum of jobs in one batch. */
  readonly batchSize: number
  /**
   * Milliseconds that the oldest job waits for its batch to fill; `auto` waits as long as it saves
   * time.
   */
  readonly maxBatchDelayMs: BatchDelay
  readonly queue: QueueLimits
  /** Number of priority levels, at least 1. */
  readonly priorityLevels: number
  /** Maximum milliseconds that a job may wait for a worker. */
  readonly queueTimeoutMs: number
  /** HTTP status of a job that is rejected because the queue is full. */
  readonly overloadStatus: number
  /** Milliseconds for which a body that crashed two workers is rejected; 0 disables. */
  readonly crashQuarantineMs: number
  /** Whether a request may safely run twice. */
  readonly isRetryable: boolean
  readonly startWorker: (slotId: number) => PoolWorker
  /** Absent if the workers are started at once. */
  readonly onDemand?: WorkersOnDemand | undefined
  readonly log: Logger
}

/** Returns the pool options that follow from the settings of the version and the server. */
export function poolSettings(
  { name, version, hasCode, settings }: PreparedModel,
  { batchSize, maxBatchDelayMs, priorityLevels }: EffectiveSettings,
  config: Config,
): Omit<PoolOptions, 'startWorker' | 'log'> {
  return {
    modelName: name,
    version,
    batchSize,
    maxBatchDelayMs,
    queue: { maxJobs: config.queueSize, maxBytes: config.queueBytes },
    priorityLevels,
    queueTimeoutMs: config.queueTimeout * 1000,
    overloadStatus: Number(config.overloadStatus),
    crashQuarantineMs: config.crashQuarantine * 1000,
    isRetryable: !hasCode || settings.idempotent === true,
  }
}
