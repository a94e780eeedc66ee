import type { ComputeTimes } from '../../contract/compute-times.ts'
import { ROWS_HEADER, TOKENS_HEADER } from '../../contract/internal-headers.ts'
import type { StreamOutcome } from '../../worker/host/response-stream.ts'
import type { WireHeader } from '../../worker/wire/messages.ts'
import type { EvictionCause, RejectionReason, RestartCause } from './causes.ts'
import { BATCH_BOUNDS, Distribution, LATENCY_BOUNDS, StatusCounts } from './counts.ts'
import { PrintedMetrics } from './handler-metrics.ts'

/** A job as the counts see it. */
export interface CountedJob {
  /** Whether a client sent it. */
  readonly isCounted: boolean
  /** Since when it waits, on the clock of `performance.now()`. */
  readonly waitingSince: number
}

/** A job with a response, and how it spent its time. */
export interface CompletedJob {
  /** Whether it came while no worker was ready. */
  readonly isCold: boolean
  readonly timing: { readonly queueMs: number; readonly workerMs: number }
}

/**
 * The counts of one model version. Its pool owns them; after the version is unregistered nobody
 * reads them. They are no children of prom-client, because those build a string of their labels at
 * every call: 1 to 2 µs instead of nanoseconds.
 */
export class VersionMetrics {
  /** Metrics that its handlers printed. */
  readonly printed = new PrintedMetrics()
  /** Responses and rejections, by status class. */
  readonly statuses = new StatusCounts()
  /** Time from acceptance until a worker got the request, in seconds. */
  readonly queueSeconds = new Distribution(LATENCY_BOUNDS)
  /** Time at a worker, including its socket, in seconds. */
  readonly workerSeconds = new Distribution(LATENCY_BOUNDS)
  /** Time from acceptance to the response of requests that came while no worker was ready. */
  readonly coldSeconds = new Distribution(LATENCY_BOUNDS)
  /** How often the model was loaded on demand. */
  loads = 0
  /** How often it was unloaded, by cause. */
  readonly evictions: Record<EvictionCause, number> = { memory: 0, idle: 0 }
  /**
   * Parts of that time in milliseconds. If the worker reports none, all of it counts as `infer`.
   */
  readonly computeMs = { input: 0, infer: 0, output: 0 }
  /** Time at the worker until the first part of a streamed response, and to its end, in seconds. */
  readonly firstByteSeconds = new Distribution(LATENCY_BOUNDS)
  readonly streamSeconds = new Distribution(LATENCY_BOUNDS)
  /** Streamed responses, by how they ended. */
  readonly streams: Record<StreamOutcome, number> = { complete: 0, failed: 0, cancelled: 0 }
  readonly batchSizes = new Distribution(BATCH_BOUNDS)
  /**
   * Sum of the batch dimensions of requests with a response, minus 1 each, as far as workers report
   * them.
   */
  furtherRows = 0
  /** Tokens of texts that the model has run, and those that only filled up shorter texts. */
  readonly textTokens = { text: 0, padding: 0 }
  /** When a worker last got a batch, in milliseconds since 1970; 0 if never. */
  lastTakenAt = 0
  readonly rejections: Record<RejectionReason, number> = {
    queue_full: 0,
    no_worker: 0,
    failed: 0,
    expired: 0,
    cancelled: 0,
    crashing: 0,
  }
  /** Receives the times of {@link recordResponse} in milliseconds. A rollout sets it. */
  onResponse: ((ms: number) => void) | undefined
  readonly restarts: Record<RestartCause, number> = {
    exit: 0,
    signal: 0,
    memory: 0,
    timeout: 0,
    protocol: 0,
    load: 0,
    other: 0,
  }

  /** Whether no request was counted. */
  get isUntouched(): boolean {
    return this.statuses.entries.every(([, count]) => count === 0)
  }

  /**
   * Counts a batch that goes to a worker. A repeated job counts once per run.
   * @returns The time in milliseconds, on the clock of `performance.now()`.
   */
  countTaken(jobs: readonly CountedJob[], now: number = performance.now()): number {
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

  /** Reports the time of a request that succeeded, unless it waited for a load. */
  recordResponse(status: number, { isCold, timing }: CompletedJob): void {
    if (this.onResponse === undefined || status >= 400 || isCold) return
    this.onResponse(timing.queueMs + timing.workerMs)
  }

  /** Counts the rows and tokens of a request, if the worker's response reports them. */
  countWork(headers: readonly WireHeader[]): void {
    this.#countRows(headers)
    this.#countTokens(headers)
  }

  /** Counts a streamed response that has begun, and its end. `takenAt` is as in `countTaken`. */
  countStream(outcome: Promise<StreamOutcome>, firstByteMs: number, takenAt: number): void {
    this.firstByteSeconds.observe(firstByteMs / 1000)
    void outcome.then((how) => {
      this.streams[how] += 1
      this.streamSeconds.observe((performance.now() - takenAt) / 1000)
    })
  }

  /**
   * Counts a batch that came back after `ms` milliseconds, with or without a reply.
   * @param told The times of the worker; `undefined` if it reported none.
   */
  countReturned(jobs: readonly CountedJob[], ms: number, told?: ComputeTimes): void {
    let size = 0
    for (const job of jobs) if (job.isCounted) size += 1
    if (size === 0) return
    this.workerSeconds.observe(ms / 1000, size)
    const { input, infer, output } = told ?? { input: 0, infer: ms, output: 0 }
    this.computeMs.input += input * size
    this.computeMs.infer += infer * size
    this.computeMs.output += output * size
  }

  #countRows(headers: readonly WireHeader[]): void {
    const header = headers.find(([name]) => name === ROWS_HEADER)
    const rows = Number(header?.[1] ?? 1)
    if (Number.isSafeInteger(rows) && rows > 1) this.furtherRows += rows - 1
  }

  #countTokens(headers: readonly WireHeader[]): void {
    const header = headers.find(([name]) => name === TOKENS_HEADER)
    const [text = 0, padding = 0] = header?.[1].split('+').map(Number) ?? []
    if (!Number.isSafeInteger(text) || !Number.isSafeInteger(padding)) return
    this.textTokens.text += Math.max(text, 0)
    this.textTokens.padding += Math.max(padding, 0)
  }
}
