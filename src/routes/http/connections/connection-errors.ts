/**
 * Requests that reach no route: what the HTTP parser rejects, and URLs and methods that no route
 * can have.
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

/** Why a connection cannot go on. The codes are those of Node and of its HTTP parser. */
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

/** For an `Expect` header with anything but `100-continue`. */
export function refuseExpectation(request: IncomingMessage, response: ServerResponse): void {
  const text = 'The only expectation that is supported is 100-continue.'
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

/**
 * For `onRequest`. HTTP/1.1 wants the header `Host`, which may be empty. Node's parser takes the
 * versions 0.9 and 2.0 as well, whose messages look different.
 */
export function checkVersionAndHost(
  { raw: { httpVersion, headers } }: FastifyRequest,
  _reply: unknown,
  done: (error?: Error) => void,
): void {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    const text = 'Only HTTP/1.0 and HTTP/1.1 are supported.'
    done(new ServerError('BadRequestException', text))
  } else if (httpVersion === '1.1' && headers.host === undefined) {
    done(new ServerError('BadRequestException', 'The Host header is missing.'))
  } else {
    done()
  }
}

/** What Fastify reports before there is a route: a URL that cannot be decoded. */
export function refuseUrl(
  _error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const error = new ServerError('BadRequestException', 'The URL cannot be decoded.')
  // No hook sees this request.
  if (!request.raw.complete) reply.raw.shouldKeepAlive = false
  void reply
    .code(error.statusCode)
    .headers(SECURITY_HEADERS)
    .type('application/json')
    .send(errorText(error, request.url))
}

/**
 * Sends an error on the bare socket and ends the connection.
 * @param url Of the request whose body is the problem; absent when there is no such request.
 */
export function sendRefusal({ code = '' }: ConnectionFailure, socket: Socket, url = ''): void {
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
