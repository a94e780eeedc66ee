import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import type { BatchDelay } from '../../model-folder/settings.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import type { QueueLimits } from './job-queue.ts'
import type { PoolWorker } from './slot.ts'

/** How a pool works; fixed for the life of a model version. */
export interface PoolOptions {
  readonly modelName: string
  /** Jobs in one batch, at most. */
  readonly batchSize: number
  /** Milliseconds the oldest job waits for its batch to fill; `auto` waits as long as it pays. */
  readonly maxBatchDelayMs: BatchDelay
  readonly queue: QueueLimits
  /** Levels of priority that jobs may have, at least 1. */
  readonly priorityLevels: number
  /** Milliseconds a job may wait before a worker takes it. */
  readonly queueTimeoutMs: number
  /** HTTP status for a job that the queue has no room for. */
  readonly overloadStatus: number
  /** Milliseconds for which a body is rejected that crashed two workers; 0 for none. */
  readonly crashQuarantineMs: number
  /** Running a request twice does no harm. */
  readonly isRetryable: boolean
  readonly startWorker: (slotId: number) => PoolWorker
  readonly log: Logger
}

/** What the settings of a version and of the server say of its pool. */
export function poolSettings(
  { name, hasCode, settings }: PreparedModel,
  { batchSize, maxBatchDelayMs, priorityLevels }: EffectiveSettings,
  config: Config,
): Omit<PoolOptions, 'startWorker' | 'log'> {
  return {
    modelName: name,
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
