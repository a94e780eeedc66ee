import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { sentMethod } from './request-target.ts'

/** The trace id in a `traceparent` header (W3C Trace Context). */
const TRACE_PARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/

/** The route that returns the last lines of the log. */
const LOG_PATH = '/logs'

/** Writes the line of a finished request to the access log. Absent values are left out. */
export function logRequest(
  log: FastifyBaseLogger,
  request: FastifyRequest,
  response: ServerResponse,
  status: number,
): void {
  const { id, raw, ip, caller, routeOptions, times, errorType, prediction } = request
  const { receivedAt, trace } = request
  const ms = Math.round((performance.now() - receivedAt) * 100) / 100
  // A command that follows the log must not fill it.
  const level = routeOptions.url === LOG_PATH && status < 400 ? 'debug' : 'info'
  log[level](
    {
      requestId: id,
      method: sentMethod(raw),
      route: routeOptions.url ?? 'unknown',
      status,
      type: errorType,
      ms,
      ...times?.logFields,
      bytesIn: bytesIn(request),
      bytesOut: prediction?.bytes ?? lengthOf(response.getHeader('content-length')),
      ip,
      token: caller?.tokenName,
      traceId: trace?.traceId ?? traceIdOf(raw.headers),
    },
    'request',
  )
}

/**
 * Size of the request body; absent if it is not known, because it came in chunks and was not read.
 */
function bytesIn({ raw, body }: FastifyRequest): number | undefined {
  const length = lengthOf(raw.headers['content-length'])
  return length ?? (Buffer.isBuffer(body) ? body.length : undefined)
}

function lengthOf(header: unknown): number | undefined {
  const length = Number(header)
  return header === undefined || !Number.isSafeInteger(length) ? undefined : length
}

/** The id of the client's trace; `undefined` if it has none. */
export function traceIdOf({ traceparent }: IncomingHttpHeaders): string | undefined {
  if (traceparent === undefined) return undefined
  return TRACE_PARENT.exec(String(traceparent))?.[1]
}
