import type { ServerError } from '../../errors.ts'
import type { RejectionReason } from '../metrics/causes.ts'
import type { VersionMetrics } from '../metrics/version-metrics.ts'
import { failed, outOfTime, overloaded, unloading, withoutWorkers } from '../unavailable.ts'
import type { DrainRate } from './drain-rate.ts'
import type { PoolOptions } from './pool-options.ts'
import type { Job } from './queue/job.ts'
import type { SlotSet } from './slots/slot-set.ts'

/** Why a request is rejected. */
export interface Rejection {
  readonly reason: RejectionReason
  readonly error: ServerError
}

type Options = Pick<PoolOptions, 'modelName' | 'version' | 'overloadStatus' | 'queueTimeoutMs'>

/** Rejects requests of a pool: gives the reason, the time to retry, and counts them. */
export class Rejections {
  readonly #options: Options
  readonly #metrics: VersionMetrics
  readonly #drainRate: DrainRate
  readonly #slots: SlotSet
  #isClosing = false

  constructor(options: Options, metrics: VersionMetrics, drainRate: DrainRate, slots: SlotSet) {
    this.#options = options
    this.#metrics = metrics
    this.#drainRate = drainRate
    this.#slots = slots
  }

  /** The queue is full with `queued` requests. */
  full(queued: number): Rejection {
    const { modelName, overloadStatus } = this.#options
    const seconds = this.#drainRate.secondsFor(queued)
    return { reason: 'queue_full', error: overloaded(modelName, seconds, overloadStatus) }
  }

  /** From now on requests are rejected because the model is being closed. */
  startClosing(): void {
    this.#isClosing = true
  }

  /** The model has failed, is being closed, or has no workers. */
  noWorker(queued: number): Rejection {
    const { modelName, version } = this.#options
    if (this.#slots.hasFailed)
      return { reason: 'failed', error: failed(modelName, this.#slots.lastFailure) }
    const seconds = this.#drainRate.secondsFor(queued)
    const error = this.#isClosing
      ? unloading(modelName, seconds)
      : withoutWorkers(modelName, version, seconds)
    return { reason: 'no_worker', error }
  }

  /** No worker took the request in time. */
  expired({ deadline }: Job, queued: number, now: number): Rejection {
    const { modelName, queueTimeoutMs } = this.#options
    const limitMs = deadline === undefined || deadline > now ? queueTimeoutMs : undefined
    const seconds = this.#drainRate.secondsFor(queued)
    return { reason: 'expired', error: outOfTime(modelName, seconds, limitMs) }
  }

  /** Counts a request that was never accepted, and returns the error to throw. */
  count({ reason, error }: Rejection): ServerError {
    this.#metrics.rejections[reason] += 1
    this.#metrics.statuses.count(error.statusCode)
    return error
  }

  /** Rejects a request that was accepted and will not run. */
  reject(job: Job, { reason, error }: Rejection): void {
    this.#metrics.rejections[reason] += 1
    // The job counts its own status.
    job.reject(error)
  }
}
