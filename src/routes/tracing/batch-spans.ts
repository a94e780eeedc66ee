import type { Context, Span, SpanContext, Tracer } from '@opentelemetry/api'
import type { Batch } from '../../models/scheduling/prediction.ts'

/** A batch of which not all requests are over. */
interface OpenBatch {
  /** Absent until a sampled request of the batch is over. */
  span: Span | undefined
  left: number
}

/**
 * The spans of batches. Each is part of the trace of the request that is over first, and has a link
 * to every sampled request of the batch.
 */
export class BatchSpans {
  readonly #tracer: Tracer
  /** A batch whose requests never end is collected as garbage, without a span. */
  readonly #open = new WeakMap<Batch, OpenBatch>()

  constructor(tracer: Tracer) {
    this.#tracer = tracer
  }

  /**
   * A request of a batch is over. The last one ends the span.
   * @param times Begin and end of the batch, milliseconds since 1970.
   * @returns The span of the batch; `undefined` if the request is not sampled or was alone.
   */
  leave(
    batch: Batch,
    request: Span,
    context: Context,
    times: readonly [begin: number, end: number],
  ): SpanContext | undefined {
    if (batch.size < 2) return undefined
    const open = this.#open.get(batch) ?? { span: undefined, left: batch.size }
    this.#open.set(batch, open)
    open.left -= 1
    if (request.isRecording()) {
      const [startTime] = times
      const attributes = { 'onnxd.batch.size': batch.size, 'onnxd.batch.limit': batch.limit }
      open.span ??= this.#tracer.startSpan('batch', { startTime, attributes }, context)
      open.span.addLink({ context: request.spanContext() })
    }
    if (open.left === 0) open.span?.end(times[1])
    return request.isRecording() ? open.span?.spanContext() : undefined
  }
}
