/** Runs copies of requests with the shadow version of a model. */
import { largeBuffers } from '../../buffer-pool.ts'
import type { Comparison } from '../../comparison/compare.ts'
import { DIALECT_HEADER } from '../../contract/internal-headers.ts'
import { ServerError, messageOf } from '../../errors.ts'
import type { ServedRequest } from '../../worker/host/calls/call-channel.ts'
import { WorkerDiedError } from '../../worker/host/outcomes.ts'
import type { WorkerReply } from '../../worker/wire/messages.ts'
import { checkPythonInput } from '../workers/python-input.ts'
import { sizeOf } from './crashing-requests.ts'
import type { ObservedPrediction } from './observed-prediction.ts'
import type { ShadowReport, SkipReason, WorstRequest } from './report.ts'
import { ShadowCopy, bytesOf, readResult } from './shadow-copy.ts'
import { ShadowCounts } from './shadow-counts.ts'
import type { CopyEnd, ShadowEvent } from './shadow-counts.ts'
import type { Shadow } from './shadow-settings.ts'

/** Copying more would delay other requests. */
const MAX_COPY_BYTES = 16 * 1024 * 1024
const MAX_RESULT_BYTES = 1024 * 1024
const MAX_REASON = 500

/** Memory for copies. */
export interface SpareMemory {
  /** Holds memory, if there is enough for requests of clients besides. */
  holdSpare(bytes: number): boolean
  releaseSpare(bytes: number): void
}

/** The part of a model version that runs copies. */
export interface ShadowVersion {
  readonly prepared: { readonly hasCode: boolean; readonly runtime: string }
  readonly status: {
    readonly queued: number
    readonly readyWorkers: number
    readonly workers: readonly ShadowWorker[]
  }
}

/** A place for a worker. */
interface ShadowWorker {
  readonly worker: { readonly isReady: boolean; readonly inFlight: number }
  runUnasked(request: ServedRequest): Promise<WorkerReply>
}

/** What {@link ShadowRuns} needs. */
export interface ShadowRunsOptions {
  readonly memory: SpareMemory
  /** Those of the same version so far. */
  readonly counts?: ShadowCounts | undefined
  /** Called with each copy that has ended, and each request that was not copied. */
  readonly onEvent?: ((event: ShadowEvent) => void) | undefined
}

/** The copies for one version, and what they have shown. */
export class ShadowRuns {
  readonly counts: ShadowCounts
  readonly #shadow: Shadow
  readonly #memory: SpareMemory
  readonly #onEvent: (event: ShadowEvent) => void

  constructor(shadow: Shadow, options: ShadowRunsOptions) {
    const { memory, counts = new ShadowCounts(), onEvent = () => {} } = options
    this.#shadow = shadow
    this.#memory = memory
    this.#onEvent = onEvent
    this.counts = counts
    if (shadow.keepInputs !== true) counts.dropInputs()
  }

  get shadow(): Shadow {
    return this.#shadow
  }

  /** Copies a prediction if the version has an idle worker. */
  offer(prediction: ObservedPrediction, version: ShadowVersion | undefined): void {
    const reason = this.#copy(prediction, version)
    if (reason === undefined) return
    this.counts.skip(reason)
    this.#onEvent({ skipped: reason })
  }

  report(): ShadowReport {
    const { counts } = this
    const { version, share = 1, keepInputs = false } = this.#shadow
    const { copied, skipped, running, failed, compared, agreed, identical } = counts
    const ended = compared + failed
    const { outputs, latencyMs, worst } = counts
    return {
      version,
      share,
      keepInputs,
      since: counts.since.toISOString(),
      chosen: Object.values(skipped).reduce((sum, count) => sum + count, copied),
      copied,
      skipped: { ...skipped },
      running,
      failed,
      compared,
      agreed,
      identical,
      ...(ended > 0 && { agreement: agreed / ended }),
      outputs,
      latencyMs,
      worst,
    }
  }

  /** Returns why there is no copy. */
  #copy(
    prediction: ObservedPrediction,
    version: ShadowVersion | undefined,
  ): SkipReason | undefined {
    if (version === undefined || version.status.readyWorkers === 0) return 'not_ready'
    const worker = idleWorkerOf(version)
    if (worker === undefined) return 'busy'
    const isStreamed = prediction.accepted.job.stream !== undefined
    if (isStreamed || !canRead(version, prediction)) return 'unsupported'
    const bytes = bytesOf(prediction)
    if (bytes > MAX_COPY_BYTES) return 'too_large'
    if (this.counts.crashing.has(prediction.parameters)) return 'crashing'
    if (!this.#memory.holdSpare(bytes)) return 'memory'
    const release = (): void => this.#memory.releaseSpare(bytes)
    let copy: ShadowCopy
    try {
      copy = new ShadowCopy(prediction, this.#shadow)
    } catch {
      // The system has no memory. The client must not notice.
      release()
      return 'memory'
    }
    this.counts.copied += 1
    void this.#run(copy, worker, version.prepared.runtime === 'node').finally(release)
    return undefined
  }

  async #run(copy: ShadowCopy, place: ShadowWorker, isOwn: boolean): Promise<void> {
    try {
      const startedAt = performance.now()
      const reply = await place.runUnasked(isOwn ? copy.comparedRequest : copy.plainRequest)
      const elapsedMs = performance.now() - startedAt
      const { comparison, ms, sha256 } = isOwn
        ? comparedBy(reply)
        : { comparison: compareBytes(copy, reply), ms: elapsedMs, sha256: undefined }
      const times = { reference: copy.referenceMs, shadow: ms }
      this.#end({ comparison, times, worst: this.#worst(copy, comparison, sha256) })
      // After a failure the socket of the worker may still refer to the memory.
      copy.release()
      for (const { body } of reply.predictions) largeBuffers.give(body)
    } catch (error) {
      if (endedWorker(error)) this.counts.crashing.record(copy.sha256, sizeOf(copy.parameters))
      const reason = messageOf(error, MAX_REASON)
      const failure = { agrees: false, kind: 'status', outputs: [], reason } as const
      this.#end({ worst: this.#worst(copy, failure) })
    }
  }

  #end(end: CopyEnd): void {
    this.counts.end(end)
    this.#onEvent(end)
  }

  /** Describes a request for the report, if it is among the worst. */
  #worst(
    copy: ShadowCopy,
    { agrees, outputs, reason }: Comparison,
    sha256?: string,
  ): WorstRequest | undefined {
    const measured = outputs.reduce((most, one) => Math.max(most, one.difference), 0)
    const difference = outputs.length === 0 && !agrees ? 1 : measured
    if (!this.counts.isAmongWorst({ agrees, difference })) return undefined
    const { requestId, version } = copy
    const input = this.#shadow.keepInputs === true ? copy.keptInput : undefined
    return {
      time: new Date().toISOString(),
      requestId,
      version,
      sha256: sha256 ?? copy.sha256,
      agrees,
      difference,
      ...(reason !== undefined && { reason: messageOf(reason, MAX_REASON) }),
      ...(input !== undefined && { input }),
    }
  }
}

/** An idle worker. If the version has several workers, one is left for requests of clients. */
function idleWorkerOf({ status: { queued, workers } }: ShadowVersion): ShadowWorker | undefined {
  const idle = workers.filter(({ worker }) => worker.isReady && worker.inFlight === 0)
  const isLeft = workers.length === 1 || idle.length > 1
  return isLeft && queued === 0 ? idle[0] : undefined
}

/** Whether a worker ended because of a request: it crashed, or was killed because it hung. */
function endedWorker(error: unknown): boolean {
  if (error instanceof WorkerDiedError) return error.isCrash
  return error instanceof ServerError && error.type === 'ResponseTimeoutException'
}

/** Whether the workers of a version can read a request that another version has served. */
function canRead(
  { prepared }: ShadowVersion,
  { headers, parameters }: ObservedPrediction,
): boolean {
  if (
    prepared.hasCode &&
    headers.some(([name, value]) => name === DIALECT_HEADER && value === 'grpc')
  )
    return false
  if (prepared.runtime === 'node') return true
  try {
    checkPythonInput(parameters)
    return true
  } catch {
    return false
  }
}

function comparedBy({ code, message, predictions }: WorkerReply): ReturnType<typeof readResult> {
  const [prediction] = predictions
  if (code !== 200 || prediction === undefined) throw new Error(`the worker responded: ${message}`)
  if (prediction.body.length > MAX_RESULT_BYTES) throw new Error('the comparison is too long')
  return readResult(prediction.body)
}

/** Without a worker of onnxd only equal bytes agree: this process does not read tensors. */
function compareBytes({ reference, body }: ShadowCopy, reply: WorkerReply): Comparison {
  const [prediction] = reply.predictions
  const status = reply.code === 200 ? (prediction?.status ?? 500) : reply.code
  if (status !== reference.status)
    return {
      agrees: false,
      kind: 'status',
      outputs: [],
      reason: `the status is ${status} instead of ${reference.status}`,
    }
  if (prediction?.body.equals(body) === true)
    return { agrees: true, kind: 'identical', outputs: [] }
  const reason = 'the bytes differ; responses of Python workers are not decoded'
  const output = {
    name: 'body',
    kind: 'bytes',
    agrees: false,
    difference: 1,
    measures: {},
  } as const
  return { agrees: false, kind: 'bytes', outputs: [{ ...output, reason }], reason }
}
