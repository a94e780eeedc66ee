import type { PoolWorker } from '../scheduling/pool.ts'
import type { Labels } from './families.ts'
import type { VersionMetrics } from './version-metrics.ts'

/** The labels of each series of a version. */
export const VERSION_LABELS = ['model', 'version']

/** The part of a model version that is read. */
export interface ObservedVersion {
  readonly name: string
  readonly version: string
  readonly statistics: VersionMetrics
  readonly status: {
    /** Whether the model is in memory; `undefined` if it does not load on demand. */
    readonly residency?: string | undefined
    readonly queued: number
    readonly queuedBytes: number
    readonly running: number
    readonly capacity: number
    readonly workers: readonly {
      readonly id: number
      readonly worker: Pick<PoolWorker, 'state' | 'pid'>
    }[]
  }
}

/** Whether a model that loads on demand was never requested. */
export function isUntouched({ status, statistics }: ObservedVersion): boolean {
  return status.residency === 'UNLOADED' && statistics.isUntouched
}

export function labelsOf({ name, version }: Pick<ObservedVersion, 'name' | 'version'>): Labels {
  return { model: name, version }
}
