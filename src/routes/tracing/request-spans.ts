import { SpanStatusCode, trace } from '@opentelemetry/api'
import type { Attributes, Context, Link, Span, Tracer } from '@opentelemetry/api'
import type { RequestTiming } from '../../models/scheduling/prediction.ts'
import type { BatchSpans } from './batch-spans.ts'
import type { RequestTrace, TracedRequest } from './tracing.ts'

/** Begin and end, on the clock of `performance.now()`. */
type Period = readonly [begin: number, end: number]

/** What the spans of one request need. */
interface RequestSpansOptions {
  readonly tracer: Tracer
  readonly batches: BatchSpans
  /** The span of the whole request, and the context in which it is the parent. */
  readonly span: Span
  readonly context: Context
  readonly headers: readonly [name: string, value: string][]
  /** Add it to a time of `performance.now()` to get milliseconds since 1970. */
  readonly epoch: number
}

/**
 * The spans of one request: the request, its time in the queue, its run at the worker, and what the
 * worker did. They have the numbers of the header `Server-Timing` and of the access log.
 */
export class RequestSpans implements RequestTrace {
  readonly #options: RequestSpansOptions

  constructor(options: RequestSpansOptions) {
    this.#options = options
  }

  get traceId(): string {
    return this.#options.span.spanContext().traceId
  }

  get headers(): readonly [name: string, value: string][] {
    return this.#options.headers
  }

  end(request: TracedRequest, status: number): void {
    const { span, epoch } = this.#options
    const { times } = request
    const route = request.routeOptions.url
    const now = performance.now()
    if (times?.accepted !== undefined) this.#addParts(times.accepted, now)
    if (request.grpcCode !== undefined) span.updateName(request.url.slice(1))
    else if (route !== undefined) span.updateName(`${request.method} ${route}`)
    // The SDK leaves out attributes without a value.
    span.setAttributes({
      'http.route': route,
      'http.response.status_code': status,
      'rpc.system': request.grpcCode === undefined ? undefined : 'grpc',
      'rpc.response.status_code': request.grpcCode,
      'url.path': request.url.split('?', 1)[0],
      'client.address': request.ip,
      'error.type': request.errorType ?? (status >= 400 ? String(status) : undefined),
      'onnxd.model.name': times?.model.name,
      'onnxd.model.version': times?.model.version,
    })
    // Mistakes of a client are no errors of the server (semantic conventions of HTTP).
    if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(now + epoch)
  }

  #addParts(timing: RequestTiming, now: number): void {
    const { span, context, batches, epoch } = this.#options
    const { batch, queuedAt = now, queueMs } = timing
    const reason = { 'onnxd.wait_reason': timing.waitReason }
    this.#add('queue', context, [queuedAt, queuedAt + queueMs], reason)
    if (batch === undefined) return
    // The client may have left before the batch came back.
    const [begin, end] = timing.isRunning
      ? [timing.takenAt, now]
      : [timing.returnedAt - timing.workerMs, timing.returnedAt]
    const shared = batches.leave(batch, span, context, [timing.takenAt + epoch, end + epoch])
    const attributes = {
      'onnxd.worker': batch.worker,
      'onnxd.runs': timing.runs,
      'onnxd.batch.size': batch.size,
    }
    const links = shared === undefined ? [] : [{ context: shared }]
    const run = this.#add('run', context, [begin, end], attributes, links)
    this.#addWorkerParts(timing, trace.setSpan(context, run), [begin, end])
  }

  /**
   * The worker reports durations, not moments. Its parts are put in the middle of the run: the ways
   * to and from the worker are taken as equally long.
   */
  #addWorkerParts({ compute }: RequestTiming, context: Context, [begin, end]: Period): void {
    if (compute === undefined) return
    const { input, infer, output } = compute
    const decodeAt = begin + Math.max(0, end - begin - input - infer - output) / 2
    const inferAt = decodeAt + input
    const encodeAt = inferAt + infer
    this.#add('decode', context, [decodeAt, inferAt])
    this.#add('infer', context, [inferAt, encodeAt])
    this.#add('encode', context, [encodeAt, encodeAt + output])
  }

  #add(
    name: string,
    context: Context,
    [begin, end]: Period,
    attributes: Attributes = {},
    links: readonly Link[] = [],
  ): Span {
    const { tracer, epoch } = this.#options
    const startTime = begin + epoch
    const span = tracer.startSpan(name, { startTime, attributes, links: [...links] }, context)
    span.end(end + epoch)
    return span
  }
}
