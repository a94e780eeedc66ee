/** The SDK of OpenTelemetry. This file is loaded only if traces are configured. */
import { setTimeout as delay } from 'node:timers/promises'
import {
  DiagLogLevel,
  ROOT_CONTEXT,
  SpanKind,
  defaultTextMapGetter,
  defaultTextMapSetter,
  diag,
  trace,
} from '@opentelemetry/api'
import type { Tracer } from '@opentelemetry/api'
import { W3CTraceContextPropagator, setGlobalErrorHandler } from '@opentelemetry/core'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { Logger } from 'pino'
import { messageOf } from '../../errors.ts'
import { BatchSpans } from './batch-spans.ts'
import { RequestSpans } from './request-spans.ts'
import type { OtlpProtocol, RequestTrace, TracedRequest, Tracing } from './tracing.ts'

/** Health checks, metrics and documents. Their traces would hide those of predictions. */
const UNTRACED = new Set(['GET', 'HEAD', 'OPTIONS'])
/** A collector that is down is reported at most this often. */
const REPORT_MS = 60_000
/** The end of the server waits at most this long for the collector. */
const CLOSE_MS = 1000

/** Traces by the SDK. It reads the rest of its `OTEL_…` variables itself. */
export class OpenTelemetry implements Tracing {
  readonly #provider: BasicTracerProvider
  readonly #tracer: Tracer
  readonly #propagator = new W3CTraceContextPropagator()
  readonly #batches: BatchSpans

  constructor(protocol: OtlpProtocol, version: string, log: Logger) {
    const report = reportProblems(log)
    setGlobalErrorHandler((error) => report(typeof error === 'string' ? error : messageOf(error)))
    diag.setLogger(
      { error: report, warn: report, info: ignore, debug: ignore, verbose: ignore },
      { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
    )
    const exporter = protocol === 'http/json' ? new JsonExporter() : new ProtobufExporter()
    const own = { 'service.name': 'onnxd', 'service.version': version }
    this.#provider = new BasicTracerProvider({
      resource: defaultResource()
        .merge(resourceFromAttributes(own))
        .merge(detectResources({ detectors: [envDetector] })),
      spanProcessors: [new BatchSpanProcessor(exporter)],
    })
    this.#tracer = this.#provider.getTracer('onnxd', version)
    this.#batches = new BatchSpans(this.#tracer)
  }

  begin(request: TracedRequest): RequestTrace | undefined {
    const { method } = request
    if (UNTRACED.has(method)) return undefined
    // The clock of `performance.now()` and the clock of the machine drift apart.
    const epoch = Date.now() - performance.now()
    const parent = this.#propagator.extract(ROOT_CONTEXT, request.headers, defaultTextMapGetter)
    const span = this.#tracer.startSpan(
      method,
      {
        kind: SpanKind.SERVER,
        startTime: request.receivedAt + epoch,
        attributes: { 'http.request.method': method, 'onnxd.request.id': request.id },
      },
      parent,
    )
    const context = trace.setSpan(ROOT_CONTEXT, span)
    const headers: Record<string, string> = {}
    this.#propagator.inject(context, headers, defaultTextMapSetter)
    return new RequestSpans({
      tracer: this.#tracer,
      batches: this.#batches,
      span,
      context,
      headers: Object.entries(headers),
      epoch,
    })
  }

  async close(): Promise<void> {
    const patience = new AbortController()
    const ended = this.#provider.shutdown().catch(ignore)
    const tooLate = delay(CLOSE_MS, undefined, { signal: patience.signal }).catch(ignore)
    await Promise.race([ended, tooLate])
    patience.abort()
  }
}

/** Returns a function that logs a problem, but not again within a minute. */
function reportProblems(log: Logger): (problem: string) => void {
  let reportedAt = Number.NEGATIVE_INFINITY
  return (problem) => {
    const now = performance.now()
    if (now - reportedAt < REPORT_MS) return
    reportedAt = now
    log.warn({ problem }, 'problem with traces; it is reported at most once a minute')
  }
}

function ignore(): void {}
