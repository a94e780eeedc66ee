/** Node's HTTP server with the limits of a listener. It replaces some default behaviour of Node. */
import { ServerResponse, createServer } from 'node:http'
import type { IncomingMessage, RequestListener, Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Server as HttpsServer, ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import type { ServerTls } from '../access/tls.ts'
import { closeGently } from './close-gently.ts'
import { refuseExpectation } from './connection-errors.ts'
import type { ConnectionLimits } from './connection-limits.ts'
import { messageProblem } from './message-check.ts'

/** Maximum size of the request line and all headers together. */
export const MAX_HEADER_BYTES = 16 * 1024
/** How often timeouts are checked. */
export const CHECK_MS = 1000

/** Creates a server that passes all requests to `accept`. It does not listen yet. */
export function createHttpServer(
  { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs }: ConnectionLimits,
  accept: RequestListener,
  tls?: ServerTls,
): Server {
  const handler = endWhereNeeded(accept)
  /** The latest response that was started on each connection. */
  const latest = new WeakMap<Socket, ServerResponse>()
  const onRequest: RequestListener = (request, response) => {
    latest.set(request.socket, response)
    handler(request, response)
  }
  const options = {
    headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: CHECK_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    // Node would reject a request without `Host` with an empty body; `app.ts` sends an error
    // body.
    requireHostHeader: false,
  }
  const server =
    tls === undefined
      ? createServer(options, onRequest)
      : createTlsServer({ ...options, handshakeTimeout: headersTimeoutMs }, onRequest, tls)
  // Node would silently drop lines beyond a number of its own, also `Host` or `Authorization`.
  server.maxHeadersCount = 0
  server.on('checkContinue', (request, response) => {
    continueWhenRead(request, response)
    onRequest(request, response)
  })
  server.on('checkExpectation', (request, response) => {
    latest.set(request.socket, response)
    refuseExpectation(request, response)
  })
  server.on('connect', (request, socket: Socket) => {
    // Node has removed its own listeners from this socket. 'close' follows an error.
    socket.on('error', () => {})
    const answer = (): void => {
      if (!socket.destroyed) handler(request, responseOn(socket, request))
    }
    // Earlier requests on this connection may still wait for their responses, which come first.
    const before = latest.get(socket)
    if (before === undefined || before.closed) answer()
    else before.once('close', answer)
  })
  return server
}

function createTlsServer(
  options: ServerOptions,
  handler: RequestListener,
  tls: ServerTls,
): HttpsServer {
  // A client may close its sending side before it has read the response, as without TLS.
  const halfOpen = { allowHalfOpen: true }
  const server = createSecureServer({ ...options, ...halfOpen, ...tls.options }, handler)
  tls.add(server)
  return server
}

/**
 * Makes a request with `Upgrade`, or one that is not a valid message, the last one of its
 * connection. Node's parser drops what follows an `Upgrade` in the same packet and takes the next
 * packet for a new request, which may be the body of one that was dropped. So nothing after it is
 * executed, and its response says `Connection: close`.
 */
function endWhereNeeded(accept: RequestListener): RequestListener {
  const ending = new WeakSet<Socket>()
  return (request, response) => {
    const { socket, headers } = request
    // The connection closes behind the response to the last request.
    if (ending.has(socket)) return void request.resume()
    if (headers.upgrade !== undefined || messageProblem(request) !== undefined) {
      ending.add(socket)
      response.shouldKeepAlive = false
    }
    accept(request, response)
  }
}

/**
 * Sends `100 Continue` when the server starts to read the body, so that a client does not send the
 * body of a rejected request. If the request is pipelined, this happens after the earlier
 * responses. Without the check of `headersSent`, Node could write `100 Continue` between the
 * headers and the body of a response.
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

/**
 * Creates a response to `CONNECT`, because Node provides none. `handler` rejects this method like
 * others.
 */
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
