import { timesInMessage } from '../../contract/compute-times.ts'
import type { ComputeTimes } from '../../contract/compute-times.ts'
import { ROWS_HEADER } from '../../contract/internal-headers.ts'
import type { Header, Job } from '../scheduling/job.ts'
import type { RejectionReason, RestartCause } from './causes.ts'
import { BATCH_BOUNDS, Distribution, LATENCY_BOUNDS, StatusCounts } from './counts.ts'
import { PrintedMetrics } from './handler-metrics.ts'

/**
 * The numbers of one model version. They belong to its pool and go with it: what is still counted after
 * the version was unregistered is read by nobody. Not the children of prom-client, because each of those
 * builds a string from its labels at every call: 1 to 2 µs, where these take nanoseconds.
 */
export class VersionMetrics {
  /** What its handlers say. */
  readonly printed = new PrintedMetrics()
  /** Requests that were answered or refused. */
  readonly statuses = new StatusCounts()
  /** Time from acceptance to a worker's hands, seconds. */
  readonly queueSeconds = new Distribution(LATENCY_BOUNDS)
  /** Time in a worker's hands, its socket included, seconds. */
  readonly workerSeconds = new Distribution(LATENCY_BOUNDS)
  /** Parts of that, milliseconds. All of it is the run where the worker does not tell. */
  readonly computeMs = { input: 0, infer: 0, output: 0 }
  readonly batchSizes = new Distribution(BATCH_BOUNDS)
  /** Rows of answered requests beyond the first of each, as far as workers tell. */
  furtherRows = 0
  /** When a worker was last given a batch, milliseconds since 1970; 0 for never. */
  lastTakenAt = 0
  readonly rejections: Record<RejectionReason, number> = {
    queue_full: 0,
    no_worker: 0,
    failed: 0,
    expired: 0,
    cancelled: 0,
    crashing: 0,
  }
  readonly restarts: Record<RestartCause, number> = {
    exit: 0,
    signal: 0,
    memory: 0,
    timeout: 0,
    protocol: 0,
    load: 0,
    other: 0,
  }

  /** A batch goes to a worker: returns the time, milliseconds. A job that is repeated counts once for each run. */
  countTaken(jobs: readonly Job[], now: number = performance.now()): number {
    let size = 0
    for (const job of jobs) {
      if (!job.isCounted) continue
      size += 1
      this.queueSeconds.observe((now - job.waitingSince) / 1000)
    }
    if (size > 0) {
      this.batchSizes.observe(size)
      this.lastTakenAt = performance.timeOrigin + now
    }
    return now
  }

  /** A worker's answer may say how many rows the request had. */
  countRows(headers: readonly Header[]): void {
    const header = headers.find(([name]) => name === ROWS_HEADER)
    const rows = Number(header?.[1] ?? 1)
    if (Number.isSafeInteger(rows) && rows > 1) this.furtherRows += rows - 1
  }

  /** A batch came back after `ms` milliseconds, with or without an answer, whose message may have its times. */
  countReturned(jobs: readonly Job[], ms: number, message = ''): void {
    let size = 0
    for (const job of jobs) if (job.isCounted) size += 1
    if (size === 0) return
    this.workerSeconds.observe(ms / 1000, size)
    const { input, infer, output } = timesWithin(ms, message)
    this.computeMs.input += input * size
    this.computeMs.infer += infer * size
    this.computeMs.output += output * size
  }
}

/** What a worker says counts as far as it can be. */
function timesWithin(ms: number, message: string): ComputeTimes {
  const told = timesInMessage(message)
  const isTrue = told !== undefined && told.input + told.infer + told.output <= ms
  return isTrue ? told : { input: 0, infer: ms, output: 0 }
}
