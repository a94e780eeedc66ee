/** What a deep check of a model finds. */
import type { ModelSettings } from '../../model-folder/settings.ts'

/** `problem`: results may be wrong or the model cannot run; `warning`: read it before you serve. */
export type FindingLevel = 'ok' | 'note' | 'warning' | 'problem'

export interface DeepFinding {
  readonly level: FindingLevel
  readonly subject: 'files' | 'load' | 'requests' | 'optimization' | 'batching' | 'speed' | 'time'
  readonly text: string
}

/** A load of the model in a process of its own. */
export interface MeasuredLoad {
  readonly ms: number
  /** Largest memory of the process, with the requests; absent if the system does not tell. */
  readonly peakBytes?: number
}

/** The speed with a number of threads and a size of batches. */
export interface MeasuredSpeed {
  readonly threads: number
  /** Requests that the worker got at once. */
  readonly batch: number
  readonly requestsPerSecond: number
  /** Median time of a batch. */
  readonly msPerBatch: number
}

/** Settings for `model.json`. */
export interface Suggestion {
  readonly settings: Pick<ModelSettings, 'threads' | 'batchSize' | 'graphOptimization'>
  /** Why, one sentence for each setting. */
  readonly reasons: readonly string[]
}

export interface DeepCheckReport {
  /** `stopped`: the time was over before everything was measured. */
  readonly status: 'waiting' | 'running' | 'done' | 'stopped' | 'failed'
  readonly startedAt?: string
  readonly seconds?: number
  readonly load?: MeasuredLoad
  readonly findings: readonly DeepFinding[]
  readonly speeds: readonly MeasuredSpeed[]
  /** Absent if nothing was measured that speaks for other settings. */
  readonly suggestion?: Suggestion
}

/** A report that grows while the check runs. */
export interface GrowingReport {
  load?: MeasuredLoad
  readonly findings: DeepFinding[]
  readonly speeds: MeasuredSpeed[]
  /** Outputs differ with and without graph optimization. */
  isOptimizationWrong?: boolean
}
