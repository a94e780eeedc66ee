/**
 * Where the time of a prediction went: as the `Server-Timing` header, as the `Onnxd-Explain` header
 * and as fields of the access log.
 */
import { performance } from 'node:perf_hooks'
import type { EventLoopUtilization } from 'node:perf_hooks'
import type { FastifyRequest } from 'fastify'
import type { ModelVersion } from '../../models/model-version.ts'
import type { RequestTiming } from '../../models/scheduling/prediction.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The times of a prediction; absent for other requests, and before its body has arrived. */
    times: RequestTimes | undefined
  }
}

/** Name of the header that asks for an explanation, and of the header with it. */
export const EXPLAIN_HEADER = 'onnxd-explain'
/** A shorter time is not a reason why a request was slow. */
const NOTEWORTHY_MS = 1
/** Part of its time above which the event loop of the server is a reason. */
const BUSY = 0.5

/** The times of one prediction, in milliseconds. */
export class RequestTimes {
  readonly model: ModelVersion
  /** From the headers of the request to the end of its body. */
  readonly #bodyMs: number
  /** The event loop when the body had arrived; absent if no explanation is asked for. */
  readonly #loop: EventLoopUtilization | undefined
  /** Absent until the model has accepted the request. */
  accepted: RequestTiming | undefined

  /** The body of `request` has arrived. */
  constructor(model: ModelVersion, request: Pick<FastifyRequest, 'receivedAt' | 'headers'>) {
    this.model = model
    this.#bodyMs = performance.now() - request.receivedAt
    if (isExplained(request)) this.#loop = performance.eventLoopUtilization()
  }

  /** Adds headers of the response to a flat list of names in lower case and values. */
  addHeaders(list: string[], request: FastifyRequest): void {
    const { hasServerTiming } = request.server.openRequests
    if (hasServerTiming) list.push('server-timing', this.#serverTiming)
    if (isExplained(request)) list.push(EXPLAIN_HEADER, this.#explanation)
  }

  /** The value of the header `Server-Timing` (W3C). */
  get #serverTiming(): string {
    const body = `body;dur=${shown(this.#bodyMs)}`
    if (this.accepted === undefined) return body
    const { queueMs, workerMs, firstByteMs, batch, compute } = this.accepted
    const queue = `${body}, queue;dur=${shown(queueMs)}`
    if (batch === undefined) return queue
    const run = `batch;desc="${batch.size}/${batch.limit}", run;dur=${shown(firstByteMs ?? workerMs)}`
    if (compute === undefined) return `${queue}, ${run}`
    const { input, infer, output } = compute
    return `${queue}, ${run}, decode;dur=${shown(input)}, infer;dur=${shown(infer)}, encode;dur=${shown(output)}`
  }

  /** The value of the header `Onnxd-Explain`: JSON for a person who asks why a request was slow. */
  get #explanation(): string {
    const { name, version } = this.model
    const timing = this.accepted
    const loop = performance.eventLoopUtilization(this.#loop)
    return JSON.stringify({
      model: name,
      version,
      ...(timing?.batch !== undefined && {
        worker: timing.batch.worker,
        batch: { size: timing.batch.size, limit: timing.batch.limit },
        runs: timing.runs,
      }),
      waitedFor: this.#reasons(loop),
      ms: {
        body: rounded(this.#bodyMs),
        ...(timing !== undefined && {
          queue: rounded(timing.queueMs),
          run: rounded(timing.firstByteMs ?? timing.workerMs),
        }),
        ...(timing?.compute !== undefined && {
          decode: rounded(timing.compute.input),
          infer: rounded(timing.compute.infer),
          encode: rounded(timing.compute.output),
        }),
        eventLoop: rounded(loop.active),
      },
    })
  }

  /** Fields of the access log; those without a value are `undefined`. */
  get logFields(): Readonly<Record<string, string | number | undefined>> {
    const { name, version } = this.model
    const { accepted } = this
    const batch = accepted?.batch
    return {
      model: name,
      version,
      bodyMs: rounded(this.#bodyMs),
      queueMs: accepted && rounded(accepted.queueMs),
      runMs: accepted && batch && rounded(accepted.workerMs),
      firstByteMs: accepted?.firstByteMs && rounded(accepted.firstByteMs),
      batch: batch?.size,
      worker: batch?.worker,
    }
  }

  #reasons({ active, utilization }: EventLoopUtilization): string[] {
    const reasons = this.#bodyMs >= NOTEWORTHY_MS ? ['body arriving'] : []
    if (active >= NOTEWORTHY_MS && utilization > BUSY) reasons.push('busy event loop')
    const { accepted: timing } = this
    if (timing === undefined || timing.queueMs < NOTEWORTHY_MS) return reasons
    if (timing.waitReason !== undefined) reasons.push(timing.waitReason)
    if (timing.runs > 1) reasons.push('another run, because a worker died')
    return reasons
  }
}

/** Whether the client asks why the request was slow. */
function isExplained({ headers }: Pick<FastifyRequest, 'headers'>): boolean {
  const explain = headers[EXPLAIN_HEADER]
  return explain === 'true' || explain === '1'
}

/** The digits behind the point for each number of microseconds, without zeros at their end. */
const DECIMALS = Array.from({ length: 1000 }, (_, us) => String(us / 1000).slice(1))

/** Rounded to microseconds. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

/** Same as `String(rounded(ms))`, but V8 takes longer to convert a fraction. */
function shown(ms: number): string {
  const us = Math.round(ms * 1000)
  const rest = us % 1000
  return `${(us - rest) / 1000}${DECIMALS[rest] ?? ''}`
}
