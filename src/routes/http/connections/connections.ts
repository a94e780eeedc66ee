/** The connections of one listener: their limits, their requests, and how they are closed. */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { Server as NetServer } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { ServerTls } from '../access/tls.ts'
import { AcceptedSockets } from './accepted-sockets.ts'
import { closeGently, isEnding } from './close-gently.ts'
import { sendRefusal } from './connection-errors.ts'
import type { ConnectionFailure } from './connection-errors.ts'
import type { ConnectionLimits } from './connection-limits.ts'
import { CHECK_MS, createHttpServer } from './http-server.ts'
import { UnreadResponses } from './unread-responses.ts'

/** State of a connection. */
interface Activity {
  /**
   * Responses that are not finished, in the order of their requests. Usually there is at most one.
   */
  readonly responses: ServerResponse[]
  /** `bytesRead` of the socket at the last check, and the time since which it has not changed. */
  bytesRead: number
  quietSince: number
  /** Whether the next response must be the last one of this connection. */
  mustEnd: boolean
  /** A request whose end had not been read when its response was sent. */
  unread?: IncomingMessage
  /** Why the connection must be closed after the pending responses. */
  failure: ConnectionFailure | undefined
}

/** How often connections are checked while the listener stops. */
const DRAIN_CHECK_MS = 20
/** While the listener stops, an idle connection is closed after this time without data. */
const QUIET_MS = 500

/**
 * The HTTP servers of one listener, one for each IP address, and their connections. It closes each
 * connection with {@link closeGently}. It stops the listener without a reset: it announces the last
 * response of each connection, and closes idle connections last.
 */
export class Connections {
  readonly #limits: ConnectionLimits
  readonly #log: FastifyBaseLogger
  readonly #servers = new Set<Server>()
  readonly #tls: ServerTls | undefined
  readonly #accepted: AcceptedSockets
  readonly #sockets = new Map<Socket, Activity>()
  /** Responses with `Connection: close` only because the server stops. */
  readonly #last = new WeakSet<ServerResponse>()
  readonly #unread: UnreadResponses
  readonly #timer: NodeJS.Timeout
  #closedAt = Number.NEGATIVE_INFINITY

  /** @param tls Absent for plain HTTP. */
  constructor(limits: ConnectionLimits, log: FastifyBaseLogger, tls?: ServerTls) {
    this.#limits = limits
    this.#log = log
    this.#tls = tls
    this.#accepted = new AcceptedSockets(limits.maxConnections, log)
    this.#unread = new UnreadResponses(limits.writeTimeoutMs, log)
    this.#timer = setInterval(() => {
      this.#refuseStalled()
      this.#unread.check(this.#sockets.keys())
    }, CHECK_MS).unref()
  }

  /** Whether a client is connected, or was within the last `ms` milliseconds. */
  hasClientsWithin(ms: number): boolean {
    return this.#sockets.size > 0 || performance.now() - this.#closedAt < ms
  }

  /** Creates a server that passes its requests to `handler`. It does not listen yet. */
  createServer(handler: RequestListener): Server {
    const server = createHttpServer(this.#limits, handler, this.#tls)
    server.on('connection', (socket: Socket) => {
      if (this.#accepted.accept(socket) && this.#tls === undefined) this.#add(socket)
    })
    server.on('secureConnection', (socket: Socket) => this.#add(socket))
    server.on('tlsClientError', ({ code }: NodeJS.ErrnoException) =>
      this.#log.debug({ code }, 'a TLS handshake failed'),
    )
    this.#servers.add(server)
    return server
  }

  /** Listens on one more IP address. An address on which it cannot listen is ignored. */
  async listenAt(host: string, port: number, handler: RequestListener): Promise<void> {
    const server = this.createServer(handler)
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
      this.refuse(error, socket),
    )
    await new Promise<void>((resolve) => {
      server.once('error', () => {
        this.#servers.delete(server)
        resolve()
      })
      server.listen({ host, port }, resolve)
    })
  }

  /** Registers a request that has arrived. */
  begin({ socket }: IncomingMessage, response: ServerResponse): void {
    const activity = this.#sockets.get(socket)
    if (activity === undefined) return
    activity.responses.push(response)
    if (activity.mustEnd) this.#announceEnd(activity)
  }

  /** Removes a request whose response is sent or whose client has disconnected. */
  end(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const activity = this.#sockets.get(socket)
    const index = activity?.responses.indexOf(response) ?? -1
    if (index >= 0) activity?.responses.splice(index, 1)
    if (activity !== undefined && !request.complete) activity.unread = request
    if (activity?.failure !== undefined && !isEnding(socket)) this.refuse(activity.failure, socket)
  }

  /**
   * Rejects requests that the HTTP parser rejects or that take too long. Earlier requests get their
   * responses first.
   */
  refuse(failure: ConnectionFailure, socket: Socket): void {
    const activity = this.#sockets.get(socket)
    // An unknown socket has no TLS yet.
    const isOver = activity === undefined || !socket.writable || isEnding(socket)
    if (failure.code === 'ECONNRESET' || isOver) socket.destroy()
    else if (activity.responses.some(isComing)) activity.failure = failure
    else sendRefusal(failure, socket, activity.responses[0]?.req.url)
  }

  /**
   * Makes the next response of each open connection its last one. New connections are accepted and
   * not ended: a client would only connect again, and a connection that is not accepted before the
   * listener closes is reset.
   */
  startDraining(): void {
    for (const [socket, activity] of this.#sockets) {
      if (activity.mustEnd) continue
      activity.mustEnd = true
      activity.bytesRead = socket.bytesRead
      activity.quietSince = performance.now()
      this.#announceEnd(activity)
    }
  }

  /** Accepts no new connections. Requests on open ones are served as before. */
  stopListening(): void {
    // `close` of an HTTP server closes connections whose response is still being sent.
    for (const server of this.#servers) NetServer.prototype.close.call(server)
  }

  /**
   * Stops listening, then waits until every response is sent and every connection is closed.
   * @returns The number of requests that were cut off after `drainMs`.
   */
  async close(drainMs: number): Promise<number> {
    this.stopListening()
    this.startDraining()
    const startedAt = performance.now()
    const hasWork = (ms: number): boolean =>
      this.#sockets.size > 0 || (this.#accepted.count > 0 && ms < QUIET_MS)
    for (let ms = 0; ms < drainMs && hasWork(ms); ms = performance.now() - startedAt) {
      this.#closeQuiet()
      await delay(DRAIN_CHECK_MS)
    }
    clearInterval(this.#timer)
    let cutOff = 0
    for (const [socket, { responses }] of this.#sockets) {
      cutOff += responses.length
      socket.destroy()
    }
    this.#accepted.destroy()
    return cutOff
  }

  #add(socket: Socket): void {
    const activity: Activity = {
      responses: [],
      bytesRead: 0,
      quietSince: performance.now(),
      mustEnd: false,
      failure: undefined,
    }
    this.#sockets.set(socket, activity)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      // A reader of its body must still learn that no more data will come.
      activity.unread?.destroy()
      this.#closedAt = performance.now()
    })
    // Node calls this after the last response of a connection.
    socket.destroySoon = () => closeGently(socket)
  }

  /**
   * Sets `Connection: close` on the last response only, so that pipelined requests that arrive
   * later get a response too.
   */
  #announceEnd({ responses }: Activity): void {
    const last = responses.at(-1)
    for (const response of responses) {
      if (response !== last) {
        if (this.#last.delete(response)) response.shouldKeepAlive = true
      } else if (response.shouldKeepAlive) {
        response.shouldKeepAlive = false
        this.#last.add(response)
      }
    }
  }

  #closeQuiet(): void {
    for (const [socket, activity] of this.#sockets) {
      const quietMs = quietFor(socket, activity)
      if (activity.responses.length === 0 && quietMs >= QUIET_MS) closeGently(socket, QUIET_MS)
    }
  }

  /**
   * Rejects requests whose body has stopped arriving. A body that the server itself does not read
   * is not rejected.
   */
  #refuseStalled(): void {
    const { bodyTimeoutMs } = this.#limits
    for (const [socket, activity] of this.#sockets) {
      const [response] = activity.responses
      if (response === undefined || response.req.complete || isEnding(socket)) continue
      const quietMs = quietFor(socket, activity)
      if (quietMs < bodyTimeoutMs || response.req.readableLength > 0) continue
      this.refuse({ code: 'ERR_HTTP_REQUEST_TIMEOUT' }, socket)
    }
  }
}

/** Whether a response has started, or will come because its request is complete. */
function isComing({ headersSent, req }: ServerResponse): boolean {
  return headersSent || req.complete
}

/** Milliseconds since the last data arrived, as far as the checks have seen. */
function quietFor({ bytesRead }: Socket, activity: Activity): number {
  const now = performance.now()
  if (bytesRead !== activity.bytesRead) {
    activity.bytesRead = bytesRead
    activity.quietSince = now
  }
  return now - activity.quietSince
}
