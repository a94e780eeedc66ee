import { memoryOfProcess, residentBytes } from '../system/process-identity.ts'
import type { DeepCheckReport } from './deep-check/deep-check.ts'
import type { ShownSettings } from './effective-settings.ts'
import type { ModelVersion } from './model-version.ts'
import type { PoolWorker, Slot } from './scheduling/pool.ts'
import { configReportOf } from './sources/config-pbtxt/config-report.ts'
import type { ConfigKey } from './sources/config-pbtxt/config-report.ts'
import type { VersionStatus } from './version-status.ts'
import type { WeightStatus } from './weights/weight-cache.ts'

/** One worker in `GET /models/{model}`: first the fields of MMS, then those of onnxd. */
export interface WorkerDescription {
  readonly id: string
  readonly startTime: string
  readonly status: 'READY' | 'LOADING' | 'UNLOADING'
  readonly gpu: boolean
  /** Resident memory in bytes; 0 if it cannot be read. */
  readonly memoryUsage: number
  /** Memory in bytes that no other process shares; as the next two, 0 if it cannot be read. */
  readonly privateMemory: number
  /** Memory in bytes that other processes share: programs, libraries, mapped weights. */
  readonly sharedMemory: number
  /** Private memory, and of each shared page the part of this worker (PSS), in bytes. */
  readonly proportionalMemory: number
  readonly pid?: number
  /** The HTTP process that it belongs to; absent if there is only one. */
  readonly shard?: number
  /** Whether it shares the weights with other workers; absent without a weight cache. */
  readonly weights?: 'shared' | 'private'
  readonly restarts: number
  readonly lastFailure?: string
}

/** One model version in `GET /models/{model}`. */
export interface VersionDescription {
  readonly modelName: string
  readonly modelVersion: string
  readonly modelUrl: string
  readonly runtime: string
  readonly minWorkers: number
  readonly maxWorkers: number
  readonly batchSize: number
  /** Milliseconds; 0 if the delay is learned (`auto` in `settings`). */
  readonly maxBatchDelay: number
  /** Seconds. */
  readonly responseTimeout: number
  /** Load timeout in seconds. */
  readonly startupTimeout: number
  readonly loadedAtStartup: boolean
  /**
   * `LOADING` until all workers have loaded the model; `UNLOADED` if it is loaded when a request
   * comes.
   */
  readonly status: 'LOADING' | 'READY' | 'PARTIAL' | 'UNLOADED' | 'UNAVAILABLE' | 'FAILED'
  /** Why a pipeline is unavailable: its first step that cannot serve. */
  readonly reason?: string
  readonly workers: readonly WorkerDescription[]
  readonly jobQueueStatus: { readonly remainingCapacity: number; readonly pendingRequests: number }
  /** The effective settings, with the origin of each. */
  readonly settings: ShownSettings
  /**
   * How each key of a Triton configuration was used; absent if the model has no such configuration.
   */
  readonly modelConfig?: readonly ConfigKey[]
  /** Whether the workers share the weights in memory, and why not. */
  readonly weights?: WeightStatus
  /** Result of the deep check that the registration asked for. */
  readonly deepCheck?: DeepCheckReport
  readonly metadata?: unknown
}

/** Describes a version, with the current memory of its workers. */
export async function describeVersion(
  model: ModelVersion,
  gpus: number,
): Promise<VersionDescription> {
  const { prepared, settings, metadata } = model
  const { status } = model
  const { workers, queued, remainingCapacity, missingStep } = status
  const report = configReportOf(prepared)
  return {
    modelName: model.name,
    modelVersion: model.version,
    modelUrl: prepared.url,
    runtime: prepared.runtime,
    minWorkers: model.wanted.min,
    maxWorkers: model.wanted.max,
    batchSize: settings.batchSize,
    maxBatchDelay: settings.maxBatchDelayMs === 'auto' ? 0 : settings.maxBatchDelayMs,
    responseTimeout: settings.responseTimeoutMs / 1000,
    startupTimeout: settings.startupTimeoutMs / 1000,
    loadedAtStartup: model.origin !== 'request',
    status: stateOf(status),
    ...(missingStep !== undefined && { reason: missingStep }),
    workers: await Promise.all(workers.map((slot) => describeWorker(slot, gpus > 0))),
    jobQueueStatus: { remainingCapacity, pendingRequests: queued },
    settings: model.shownSettings,
    ...(report.length > 0 && { modelConfig: report }),
    ...(model.weights !== undefined && { weights: model.weights }),
    ...(model.deepCheckReport !== undefined && { deepCheck: model.deepCheckReport }),
    ...(metadata === undefined ? {} : { metadata }),
  }
}

/** The state of a version in one word. */
export function stateOf(now: VersionStatus): VersionDescription['status'] {
  if (now.isLoading) return 'LOADING'
  if (now.hasFailed) return 'FAILED'
  if (now.missingStep !== undefined) return 'UNAVAILABLE'
  if (now.residency === 'LOADING') return 'LOADING'
  if (now.residency === 'UNLOADED' || now.residency === 'UNLOADING') return 'UNLOADED'
  if (now.readyWorkers >= now.wantedWorkers) return 'READY'
  return now.readyWorkers > 0 ? 'PARTIAL' : 'UNAVAILABLE'
}

/**
 * The state of a version in several HTTP processes. A model that is loaded on demand may be loaded
 * in some of them only.
 */
export function commonStatus(
  all: readonly VersionDescription['status'][],
): VersionDescription['status'] {
  const found = new Set(all)
  found.delete('UNLOADED')
  const [first = 'UNLOADED', ...others] = found
  if (others.length === 0) return first
  return found.has('READY') || found.has('PARTIAL') ? 'PARTIAL' : first
}

async function describeWorker(
  { id, worker, restarts, lastFailure }: Slot,
  gpu: boolean,
): Promise<WorkerDescription> {
  const { pid } = worker
  const memory = pid === undefined ? undefined : await memoryOfProcess(pid)
  const isShared = worker.isReady ? worker.hasSharedWeights?.() : undefined
  return {
    id: String(id),
    startTime: worker.startedAt.toISOString(),
    status: workerStatus(worker.state),
    gpu,
    memoryUsage: pid === undefined ? 0 : await residentBytes(pid),
    privateMemory: memory?.privateBytes ?? 0,
    sharedMemory: memory?.sharedBytes ?? 0,
    proportionalMemory: memory?.proportionalBytes ?? 0,
    ...(pid === undefined ? {} : { pid }),
    ...(isShared === undefined ? {} : { weights: isShared ? 'shared' : 'private' }),
    restarts,
    ...(lastFailure === undefined ? {} : { lastFailure }),
  }
}

/** The state of a worker in MMS's words. */
export function workerStatus(state: PoolWorker['state']): WorkerDescription['status'] {
  switch (state) {
    case 'ready':
      return 'READY'
    case 'starting':
    case 'loading':
      return 'LOADING'
    case 'stopping':
    case 'stopped':
      return 'UNLOADING'
  }
}
