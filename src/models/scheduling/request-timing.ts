import type { ComputeTimes } from '../../contract/compute-times.ts'

/** Why a request could not go to a worker at once. */
export type WaitReason = 'cold load' | 'batch filling' | 'no free worker'

/** One batch at a worker. All its requests refer to the same object. */
export interface Batch {
  /** Number of requests, and the maximum. */
  readonly size: number
  readonly limit: number
  /** Number of the worker. */
  readonly worker: number
}

/**
 * How an accepted request spent its time, over all its runs: a request runs again if its worker
 * died. Times are in milliseconds; moments are on the clock of `performance.now()`.
 */
export class RequestTiming {
  /** Why it waited; `undefined` if it went to a worker at once. */
  waitReason: WaitReason | undefined
  /** Runs that began. */
  runs = 0
  /** The batch of the last run. */
  batch: Batch | undefined
  /** When the request began to wait. */
  queuedAt: number | undefined
  /** When the worker got the batch of the last run, and when that came back. */
  takenAt = 0
  returnedAt = 0
  /** Time at the worker until the first part of a streamed response; `undefined` for others. */
  firstByteMs: number | undefined
  /** Time at workers, including their sockets. */
  workerMs = 0
  /** What the worker reported about the last run; `undefined` if it reported nothing. */
  compute: ComputeTimes | undefined
  #queueMs = 0

  /** Time without a worker. */
  get queueMs(): number {
    return this.#queueMs
  }

  /** Whether the last run has not come back. */
  get isRunning(): boolean {
    return this.returnedAt < this.takenAt
  }

  /** A worker got the request, which had waited since `waitingSince`. */
  recordTaken(now: number, waitingSince: number, batch: Batch): void {
    this.queuedAt ??= waitingSince
    this.#queueMs += now - waitingSince
    this.runs += 1
    this.batch = batch
    this.takenAt = now
  }

  /** The batch came back `ms` milliseconds after the worker got it, with or without a reply. */
  recordReturned(now: number, ms: number, compute: ComputeTimes | undefined): void {
    this.workerMs += ms
    this.compute = compute
    this.returnedAt = now
  }

  /** The request failed. It may have waited since `waitingSince`, unless it came back later. */
  recordFailure(now: number, waitingSince: number): void {
    this.queuedAt ??= waitingSince
    this.#queueMs += now - Math.max(waitingSince, this.returnedAt)
  }
}
