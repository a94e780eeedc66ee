/** One model version in the live data of the console. */
import { stateOf, workerStatus } from '../../models/describe-version.ts'
import type { VersionDescription, WorkerDescription } from '../../models/describe-version.ts'
import type { Distribution } from '../../models/metrics/counts.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Slot } from '../../models/scheduling/pool.ts'
import type { WorkerMemory } from '../../system/process-identity.ts'

/** A histogram: the number of values at or below each bound, and of all values. */
export interface LiveHistogram {
  readonly bounds: readonly number[]
  readonly cumulative: readonly number[]
  readonly sum: number
}

/** A worker. Memory is in bytes; it is absent until it was read. */
export interface LiveWorker {
  /** Text for the worker of another HTTP process, which has the number of the process first. */
  readonly id: number | string
  readonly pid?: number
  readonly status: WorkerDescription['status']
  readonly startTime: string
  readonly inFlight: number
  readonly restarts: number
  readonly lastFailure?: string
  readonly memory?: WorkerMemory
}

/** State and counters of a version. Counters start at its registration. */
export interface LiveVersion {
  readonly name: string
  readonly version: string
  readonly isDefault: boolean
  readonly status: VersionDescription['status']
  readonly loadsOnDemand: boolean
  readonly minWorkers: number
  readonly maxWorkers: number
  readonly readyWorkers: number
  readonly queued: number
  readonly queuedBytes: number
  readonly running: number
  readonly capacity: number
  /** Responses by class of the HTTP status. */
  readonly statuses: Readonly<Record<string, number>>
  readonly rejections: Readonly<Record<string, number>>
  readonly restarts: Readonly<Record<string, number>>
  readonly loads: number
  readonly evictions: Readonly<Record<string, number>>
  /** Milliseconds since 1970; 0 if never. */
  readonly lastRequestAt: number
  /** Absent without a request. */
  readonly queueSeconds?: LiveHistogram
  readonly workerSeconds?: LiveHistogram
  readonly batches?: { readonly count: number; readonly requests: number }
  readonly workers: readonly LiveWorker[]
}

/** Describes a version without asking the system. */
export function describeLive(
  model: ModelVersion,
  isDefault: boolean,
  memoryOf: (pid: number) => WorkerMemory | undefined,
): LiveVersion {
  const { status, statistics, wanted, settings } = model
  const { queueSeconds, workerSeconds, batchSizes } = statistics
  return {
    name: model.name,
    version: model.version,
    isDefault,
    status: stateOf(status),
    loadsOnDemand: settings.loadsOnDemand,
    minWorkers: wanted.min,
    maxWorkers: wanted.max,
    readyWorkers: status.readyWorkers,
    queued: status.queued,
    queuedBytes: status.queuedBytes,
    running: status.running,
    capacity: status.capacity,
    statuses: Object.fromEntries(statistics.statuses.entries),
    rejections: { ...statistics.rejections },
    restarts: { ...statistics.restarts },
    loads: statistics.loads,
    evictions: { ...statistics.evictions },
    lastRequestAt: Math.round(statistics.lastTakenAt),
    ...(queueSeconds.count > 0 && { queueSeconds: histogramOf(queueSeconds) }),
    ...(workerSeconds.count > 0 && { workerSeconds: histogramOf(workerSeconds) }),
    ...(batchSizes.count > 0 && {
      batches: { count: batchSizes.count, requests: batchSizes.sum },
    }),
    workers: status.workers.map((slot) => describeWorker(slot, memoryOf)),
  }
}

function histogramOf({ bounds, cumulative, sum }: Distribution): LiveHistogram {
  return { bounds, cumulative, sum }
}

function describeWorker(
  { id, worker, restarts, lastFailure }: Slot,
  memoryOf: (pid: number) => WorkerMemory | undefined,
): LiveWorker {
  const { pid, state, startedAt, inFlight } = worker
  const memory = pid === undefined ? undefined : memoryOf(pid)
  return {
    id,
    ...(pid !== undefined && { pid }),
    status: workerStatus(state),
    startTime: startedAt.toISOString(),
    inFlight,
    restarts,
    ...(lastFailure !== undefined && { lastFailure }),
    ...(memory !== undefined && { memory }),
  }
}
