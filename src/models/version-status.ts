import type { ResidencyState } from './residency/on-demand.ts'
import type { PoolStatus } from './scheduling/pool.ts'

/** The current state of a version and its workers. */
export interface OwnStatus extends PoolStatus {
  /** Whether the workers load the model for the first time. */
  readonly isLoading: boolean
  /** Whether the model is in memory; `undefined` if it does not load on demand. */
  readonly residency: ResidencyState | undefined
  /** Minimum number of workers in this process at this time. */
  readonly wantedWorkers: number
  /** Whether a worker is ready, none is wanted, or one is started when a request comes. */
  readonly hasWorker: boolean
}

/** The current state of a version, and of the models that it calls if it is a pipeline. */
export interface VersionStatus extends OwnStatus {
  /** Why a pipeline is not ready: its first step that cannot serve, as a sentence. */
  readonly missingStep: string | undefined
  /** Whether it has a worker, and no step is missing. */
  readonly isReady: boolean
}
