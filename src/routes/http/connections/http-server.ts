/** Node's HTTP server, with the limits of a listener and without what it does on its own. */
import { ServerResponse, createServer } from 'node:http'
import type { IncomingMessage, RequestListener, Server } from 'node:http'
import type { Socket } from 'node:net'
import { closeGently } from './close-gently.ts'
import { refuseExpectation } from './connection-errors.ts'
import type { ConnectionLimits } from './connection-limits.ts'

/** Of the request line and all headers together. */
export const MAX_HEADER_BYTES = 16 * 1024
/** How often timeouts are checked. */
export const CHECK_MS = 1000

/** A server whose requests all go to `handler`. It does not listen yet. */
export function createHttpServer(
  { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs }: ConnectionLimits,
  handler: RequestListener,
): Server {
  /** The last response that was begun on each connection. */
  const latest = new WeakMap<Socket, ServerResponse>()
  const server = createServer(
    {
      headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      connectionsCheckingInterval: CHECK_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      // Node's own response to a request without a host has no body; `app.ts` gives it one.
      requireHostHeader: false,
    },
    handler,
  )
  server.on('checkContinue', (request, response) => {
    latest.set(request.socket, response)
    continueWhenRead(request, response)
    handler(request, response)
  })
  server.on('checkExpectation', (request, response) => {
    latest.set(request.socket, response)
    refuseExpectation(request, response)
  })
  server.prependListener('request', ({ socket }, response) => latest.set(socket, response))
  server.on('connect', (request, socket: Socket) => {
    // Node has taken its own listeners away. An error is followed by 'close'.
    socket.on('error', () => {})
    const answer = (): void => {
      if (!socket.destroyed) handler(request, responseOn(socket, request))
    }
    // Requests before it may still wait for their responses, which come first.
    const before = latest.get(socket)
    if (before === undefined || before.closed) answer()
    else before.once('close', answer)
  })
  return server
}

/**
 * Asks the client for its body when somebody begins to read it: a request that is rejected sends
 * none. A pipelined request asks when the responses before its own are sent. Node would write
 * `100 Continue` between the headers and the body of the response if that is complete by then.
 */
function continueWhenRead(request: IncomingMessage, response: ServerResponse): void {
  const proceed = (): void => {
    if (!response.headersSent) response.writeContinue()
  }
  request.once('resume', () => {
    if (response.socket === null) response.once('socket', proceed)
    else proceed()
  })
}

/** A response to `CONNECT`, for which Node has none: it is rejected as other methods are. */
function responseOn(socket: Socket, request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  response.once('finish', () => {
    response.detachSocket(socket)
    response.emit('close')
    closeGently(socket)
  })
  return response
}
