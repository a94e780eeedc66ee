/**
 * Traces of requests (OpenTelemetry). The standard environment variables configure them; without
 * these nothing is loaded.
 */
import type { FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { ConfigError } from '../../errors.ts'
import type { Header } from '../../models/scheduling/queue/job.ts'
import { readPackageVersion } from '../../package-files.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Absent if the request is not traced. */
    trace: RequestTrace | undefined
  }
}

/** What a trace needs to know about a request, or about a call of gRPC. */
export type TracedRequest = Pick<
  FastifyRequest,
  'headers' | 'receivedAt' | 'id' | 'times' | 'ip'
> & {
  readonly method: string
  readonly url: string
  readonly routeOptions: { readonly url?: string | undefined }
  readonly errorType: string | undefined
  /** Name of the status code of a call of gRPC; absent for other requests. */
  readonly grpcCode?: string | undefined
}

/** Starts the traces of requests. */
export interface Tracing {
  /** Returns the trace of a request whose headers have arrived; `undefined` if it has none. */
  begin(request: TracedRequest): RequestTrace | undefined
  /** Sends the spans that were not sent yet. Waits for the collector for a second at most. */
  close(): Promise<void>
}

/** The trace of one request. */
export interface RequestTrace {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** Headers for the worker, which make the spans of a handler part of the trace. */
  readonly headers: readonly Header[]
  /** The request is over: its spans are made from the times that were measured anyway. */
  end(request: TracedRequest, status: number): void
}

/** The part of the environment that decides whether there are traces. */
type Environment = Readonly<Record<string, string | undefined>>

/** Protocols of `OTEL_EXPORTER_OTLP_PROTOCOL` that are supported. */
export type OtlpProtocol = 'http/protobuf' | 'http/json'

const DEFAULT_PROTOCOL: OtlpProtocol = 'http/protobuf'
const SIGNAL = 'OTEL_EXPORTER_OTLP_TRACES'
const ANY = 'OTEL_EXPORTER_OTLP'

/**
 * Returns the tracing of a server; `undefined` if the environment does not ask for it.
 * @throws ConfigError if the environment asks for something that is not supported.
 */
export async function startTracing(
  environment: Environment,
  log: Logger,
): Promise<Tracing | undefined> {
  const protocol = otlpProtocol(environment)
  if (protocol === undefined) return undefined
  const { OpenTelemetry } = await import('./open-telemetry.ts')
  return new OpenTelemetry(protocol, await readPackageVersion(), log)
}

/**
 * Returns the protocol of the traces; `undefined` if there shall be none. The specification sends
 * traces to a collector on this machine by default. onnxd sends none until an endpoint or the
 * exporter is named.
 * @throws ConfigError.
 */
export function otlpProtocol(environment: Environment): OtlpProtocol | undefined {
  if (environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return undefined
  const endpoint = environment[`${SIGNAL}_ENDPOINT`] || environment[`${ANY}_ENDPOINT`]
  const exporter = environment['OTEL_TRACES_EXPORTER'] || (endpoint ? 'otlp' : 'none')
  if (exporter === 'none') return undefined
  if (exporter !== 'otlp') {
    throw new ConfigError(
      `OTEL_TRACES_EXPORTER is "${exporter}"; onnxd supports otlp and none. A collector can forward traces to other systems.`,
    )
  }
  if (endpoint && !isHttpUrl(endpoint)) {
    throw new ConfigError(
      `The endpoint for traces is "${endpoint}"; expected a URL such as http://localhost:4318.`,
    )
  }
  const protocol =
    environment[`${SIGNAL}_PROTOCOL`] || environment[`${ANY}_PROTOCOL`] || DEFAULT_PROTOCOL
  if (protocol === 'http/protobuf' || protocol === 'http/json') return protocol
  throw new ConfigError(
    `OTEL_EXPORTER_OTLP_PROTOCOL is "${protocol}"; onnxd supports http/protobuf and http/json (port 4318 of a collector).`,
  )
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}
