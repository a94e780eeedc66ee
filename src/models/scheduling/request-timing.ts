import type { ComputeTimes } from '../../contract/compute-times.ts'

/** Why a request could not go to a worker at once. */
export type WaitReason = 'cold load' | 'batch filling' | 'no free worker'

/**
 * How an accepted request spent its time, over all its runs: a request runs again if its worker
 * died. Times are in milliseconds; moments are on the clock of `performance.now()`.
 */
export class RequestTiming {
  /** Why it waited; `undefined` if it went to a worker at once. */
  waitReason: WaitReason | undefined
  /** Runs that began. */
  runs = 0
  /** Requests in the batch of the last run, and the maximum. */
  batchSize = 0
  batchLimit = 0
  /** Number of the worker of the last run. */
  worker = 0
  /** Time at workers, including their sockets. */
  workerMs = 0
  /** What the worker reported about the last run; `undefined` if it reported nothing. */
  compute: ComputeTimes | undefined
  #queueMs = 0
  #returnedAt = 0

  /** Time without a worker. */
  get queueMs(): number {
    return this.#queueMs
  }

  /** A worker got the request, which had waited since `waitingSince`. */
  recordTaken(
    now: number,
    waitingSince: number,
    batch: { readonly size: number; readonly limit: number; readonly worker: number },
  ): void {
    this.#queueMs += now - waitingSince
    this.runs += 1
    this.batchSize = batch.size
    this.batchLimit = batch.limit
    this.worker = batch.worker
  }

  /** The batch came back `ms` milliseconds after the worker got it, with or without a reply. */
  recordReturned(now: number, ms: number, compute: ComputeTimes | undefined): void {
    this.workerMs += ms
    this.compute = compute
    this.#returnedAt = now
  }

  /** The request failed. It may have waited since `waitingSince`, unless it came back later. */
  recordFailure(now: number, waitingSince: number): void {
    this.#queueMs += now - Math.max(waitingSince, this.#returnedAt)
  }
}
