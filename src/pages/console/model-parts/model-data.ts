/** The description of a model version in `GET /models/{model}/{version}`, as far as it is shown. */
import type { Version, VersionState } from '../logic/live.ts'

/** An input or output. */
export interface TensorInfo {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly (number | string)[]
}

/** A model that a pipeline calls. */
export interface StepInfo {
  readonly model: string
  readonly version?: string
  /** Names of the tensors of the model, each with its name in the pipeline. */
  readonly inputs: Readonly<Record<string, string>>
  readonly outputs: Readonly<Record<string, string>>
  readonly problem?: string
}

/** The member of a description that only pipelines have. */
export interface PipelineInfo {
  readonly steps: readonly StepInfo[]
  /** Why no request can be served. */
  readonly problem?: string
}

/** A value with its origin. */
export interface SettingInfo {
  readonly value: unknown
  readonly from: string
}

/** A worker. Sizes are in bytes. */
export interface WorkerInfo {
  readonly id: string
  readonly pid?: number
  readonly status: 'READY' | 'LOADING' | 'UNLOADING'
  readonly startTime: string
  readonly restarts: number
  readonly lastFailure?: string
  readonly privateMemory: number
  readonly sharedMemory: number
  readonly proportionalMemory: number
}

export interface VersionDescription {
  readonly modelName: string
  readonly modelVersion: string
  readonly status: VersionState
  readonly minWorkers: number
  readonly maxWorkers: number
  readonly workers: readonly WorkerInfo[]
  readonly modelUrl: string
  readonly runtime: string
  readonly settings: Readonly<Record<string, SettingInfo>>
  readonly weights?: { readonly state: string; readonly bytes?: number; readonly reason?: string }
  readonly metadata?: {
    readonly inputs?: readonly TensorInfo[]
    readonly outputs?: readonly TensorInfo[]
    readonly pipeline?: PipelineInfo
  }
}

/** A version as the live data has it, without counters, which a description does not have. */
export function versionOf(description: VersionDescription, defaultVersion: string): Version {
  const { modelName, modelVersion, status, minWorkers, maxWorkers, workers, settings } = description
  return {
    name: modelName,
    version: modelVersion,
    isDefault: modelVersion === defaultVersion,
    status,
    loadsOnDemand: settings['loadOnDemand']?.value === true,
    minWorkers,
    maxWorkers,
    readyWorkers: workers.filter((worker) => worker.status === 'READY').length,
    queued: 0,
    queuedBytes: 0,
    running: 0,
    capacity: 0,
    statuses: {},
    rejections: {},
    restarts: {},
    loads: 0,
    evictions: {},
    lastRequestAt: 0,
    workers: workers.map((worker) => ({
      ...worker,
      id: Number(worker.id),
      inFlight: 0,
      memory: {
        privateBytes: worker.privateMemory,
        sharedBytes: worker.sharedMemory,
        proportionalBytes: worker.proportionalMemory,
      },
    })),
  }
}
