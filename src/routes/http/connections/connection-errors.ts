/**
 * Requests that reach no route: messages that the HTTP parser rejects, and URLs, versions and
 * expectations that no route supports.
 */
import { STATUS_CODES } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ServerError } from '../../../errors.ts'
import { errorText } from '../error-handler.ts'
import { pathOf } from '../request-target.ts'
import { SECURITY_HEADERS } from '../response-headers.ts'
import { closeGently } from './close-gently.ts'

/** Why a connection failed. The codes are those of Node and its HTTP parser. */
export interface ConnectionFailure {
  readonly code?: string | undefined
}

const INVALID_MESSAGE = new ServerError('BadRequestException', 'Invalid HTTP message.')

const BY_CODE: ReadonlyMap<string, ServerError> = new Map([
  [
    'ERR_HTTP_REQUEST_TIMEOUT',
    new ServerError('RequestTimeoutException', 'The request took too long to arrive.'),
  ],
  [
    'HPE_HEADER_OVERFLOW',
    new ServerError('BadRequestException', 'The request headers are too large.', {
      statusCode: 431,
    }),
  ],
])

/** Rejects an `Expect` header with another value than `100-continue`. */
export function refuseExpectation(request: IncomingMessage, response: ServerResponse): void {
  const text = 'The Expect header is not supported, except for 100-continue.'
  const error = new ServerError('BadRequestException', text, { statusCode: 417 })
  const body = errorText(error, pathOf(request.url ?? ''))
  response.shouldKeepAlive = false
  response.writeHead(error.statusCode, {
    ...SECURITY_HEADERS,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}

/** Rejects a URL that cannot be decoded. Fastify reports it before it looks for a route. */
export function refuseUrl(
  _error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const error = new ServerError('BadRequestException', 'The URL has an invalid percent escape.')
  // Fastify calls no hooks for this request, so the connection is closed here.
  if (!request.raw.complete) reply.raw.shouldKeepAlive = false
  void reply
    .code(error.statusCode)
    .headers(SECURITY_HEADERS)
    .type('application/json')
    .send(errorText(error, request.url))
}

/**
 * Writes an error response on the socket and closes the connection.
 * @param url URL of the request whose body failed; absent if the request is not known.
 */
export function sendRefusal({ code = '' }: ConnectionFailure, socket: Socket, url = ''): void {
  // Node cannot parse a pipelined request over TLS that arrives while the client does not read. It
  // was not executed; the client sends it again when the connection is closed.
  if (code === 'HPE_PAUSED') return closeGently(socket)
  const error = BY_CODE.get(code) ?? INVALID_MESSAGE
  const body = errorText(error, pathOf(url))
  const headers = Object.entries({
    ...SECURITY_HEADERS,
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  const phrase = STATUS_CODES[error.statusCode] ?? ''
  socket.write(`HTTP/1.1 ${error.statusCode} ${phrase}\r\n${headers.join('')}\r\n${body}`)
  closeGently(socket)
}
