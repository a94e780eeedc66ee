import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
/** Requests that never become one: what the HTTP parser refuses, and URLs that cannot be decoded. */
import type { ConnectionError, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ServerError } from '../errors.ts'

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

/** Answers on the bare socket with the error body of every other failure, and closes it. */
export function refuseConnection(error: ConnectionError, socket: Socket): void {
  // A reset connection, or one that is in the middle of an answer, can take nothing more.
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy()
    return
  }
  const reason = BY_CODE.get(error.code) ?? INVALID_MESSAGE
  const body = `${JSON.stringify(reason.toBody(), null, 2)}\n`
  socket.end(
    `HTTP/1.1 ${reason.statusCode} ${STATUS_CODES[reason.statusCode] ?? ''}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

/** What Fastify reports before there is a route: a URL that cannot be decoded. */
export function refuseUrl(
  _error: FastifyError,
  _request: FastifyRequest,
  reply: FastifyReply,
): void {
  const error = new ServerError('BadRequestException', 'The URL cannot be decoded.')
  void reply.code(error.statusCode).type('application/json').send(error.toBody())
}
