/** The line of a call in the access log. It has the fields of those of HTTP requests. */
import type { FastifyBaseLogger } from 'fastify'
import { messageOf } from '../../../errors.ts'
import { traceIdOf } from '../../http/access-log.ts'
import type { StreamedRequest } from './call-end.ts'
import type { Call } from './call.ts'

const NOT_IMPLEMENTED = 501

/** Writes the line of a finished call. Absent values are left out. */
export function logCall(log: FastifyBaseLogger, call: Call): void {
  const { id, end, times, bytesIn, bytesOut, ip, trace, headers, receivedAt, route, caller } = call
  const ms = Math.round((performance.now() - receivedAt) * 100) / 100
  log.info(
    {
      requestId: id,
      method: 'POST',
      route: route ?? 'unknown',
      status: end?.status,
      grpc: end?.code,
      type: end?.errorType,
      ms,
      ...times?.logFields,
      bytesIn,
      bytesOut,
      ip,
      token: caller?.tokenName,
      traceId: trace?.traceId ?? traceIdOf(headers),
    },
    'request',
  )
}

/** Writes the line of one request of a stream. */
export function logStreamed(log: FastifyBaseLogger, call: Call, request: StreamedRequest): void {
  const { messageId, end, times, ms, bytesIn, bytesOut } = request
  log.info(
    {
      requestId: call.id,
      messageId,
      method: 'POST',
      route: call.route,
      status: end.status,
      grpc: end.code,
      type: end.errorType,
      ms: Math.round(ms * 100) / 100,
      ...times?.logFields,
      bytesIn,
      bytesOut,
      ip: call.ip,
      token: call.caller?.tokenName,
    },
    'request',
  )
}

/** Logs an error of this server, as for HTTP requests; not those because of overload. */
export function logFailure(log: FastifyBaseLogger, { id, error }: Call): void {
  if (error === undefined || error.statusCode < 500 || error.statusCode === NOT_IMPLEMENTED) return
  if (error.retryAfterSeconds !== undefined) return
  const { type, cause } = error
  const original = cause ?? error
  log.warn({ requestId: id, type, reason: messageOf(original), err: original }, 'request failed')
}
