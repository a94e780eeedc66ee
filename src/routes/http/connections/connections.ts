/** The connections of one listener: their limits, their requests, and how they end. */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { Server as NetServer } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { closeGently, isEnding } from './close-gently.ts'
import { sendRefusal } from './connection-errors.ts'
import type { ConnectionFailure } from './connection-errors.ts'
import type { ConnectionLimits } from './connection-limits.ts'
import { CHECK_MS, createHttpServer } from './http-server.ts'
import { UnreadResponses } from './unread-responses.ts'

/** What a connection is doing. */
interface Activity {
  /**
   * Responses that are not over yet, in the order of their requests. Mostly there is one or none.
   */
  readonly responses: ServerResponse[]
  /** How far the client was when it was looked at last, and since when it is there. */
  bytesRead: number
  quietSince: number
  /** Whether each of its responses is to be the last one. */
  mustEnd: boolean
  /** Why it cannot go on once the requests before the failure are answered. */
  failure: ConnectionFailure | undefined
}

/** While the listener stops: how often its connections are looked at. */
const DRAIN_CHECK_MS = 20
/**
 * While the listener stops, an idle connection is closed once nothing has arrived on it for so
 * long.
 */
const QUIET_MS = 500
/** A full listener is logged so often at most. */
const FULL_LOG_MS = 10_000

/**
 * Every server that it creates answers at one address of the listener. Ends each connection by
 * {@link closeGently}, and stops the listener without a reset: each response says that it is the
 * last one, and idle connections are closed last.
 */
export class Connections {
  readonly #limits: ConnectionLimits
  readonly #log: FastifyBaseLogger
  readonly #servers = new Set<Server>()
  readonly #sockets = new Map<Socket, Activity>()
  /** Responses that say `Connection: close` only because the server stops. */
  readonly #last = new WeakSet<ServerResponse>()
  readonly #unread: UnreadResponses
  readonly #timer: NodeJS.Timeout
  #fullLoggedAt = Number.NEGATIVE_INFINITY

  constructor(limits: ConnectionLimits, log: FastifyBaseLogger) {
    this.#limits = limits
    this.#log = log
    this.#unread = new UnreadResponses(limits.writeTimeoutMs, log)
    this.#timer = setInterval(() => {
      this.#refuseStalled()
      this.#unread.check(this.#sockets.keys())
    }, CHECK_MS).unref()
  }

  /** Connections that are open. */
  get count(): number {
    return this.#sockets.size
  }

  /** A server whose requests go to `handler`. It does not listen yet. */
  createServer(handler: RequestListener): Server {
    const server = createHttpServer(this.#limits, handler)
    server.on('connection', (socket: Socket) => this.#add(socket))
    this.#servers.add(server)
    return server
  }

  /** Listens at one more address. One that cannot be had is left out. */
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

  /** A request has arrived. */
  begin({ socket }: IncomingMessage, response: ServerResponse): void {
    const activity = this.#sockets.get(socket)
    if (activity === undefined) return
    activity.responses.push(response)
    if (activity.mustEnd) this.#announceEnd(activity)
  }

  /** Its response is sent, or its client has left. */
  end(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const activity = this.#sockets.get(socket)
    const index = activity?.responses.indexOf(response) ?? -1
    if (index >= 0) activity?.responses.splice(index, 1)
    // Node forgets a request once it is answered. Whoever still reads its body has to hear that no
    // more will come.
    if (!request.complete) socket.once('close', () => request.destroy())
    if (activity?.failure !== undefined && !isEnding(socket)) this.refuse(activity.failure, socket)
  }

  /**
   * Rejects what the HTTP parser cannot take, and requests that take too long. Requests before it
   * are answered first.
   */
  refuse(failure: ConnectionFailure, socket: Socket): void {
    const activity = this.#sockets.get(socket)
    if (failure.code === 'ECONNRESET' || !socket.writable || isEnding(socket)) socket.destroy()
    else if (activity?.responses.some(isComing) === true) activity.failure = failure
    else sendRefusal(failure, socket, activity?.responses[0]?.req.url)
  }

  /**
   * From now on the next response of each connection is its last one. New connections are still
   * accepted, and kept: their clients would only come back here, and a connection that is being
   * made when the listener closes is reset.
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

  /**
   * Stops listening, then waits until every request is answered and every connection is closed.
   * Returns how many requests were cut off after `drainMs`.
   */
  async close(drainMs: number): Promise<number> {
    // `close` of an HTTP server cuts off connections whose response is still being sent.
    for (const server of this.#servers) NetServer.prototype.close.call(server)
    this.startDraining()
    const deadline = performance.now() + drainMs
    while (this.#sockets.size > 0 && performance.now() < deadline) {
      this.#closeQuiet()
      await delay(DRAIN_CHECK_MS)
    }
    clearInterval(this.#timer)
    let cutOff = 0
    for (const [socket, { responses }] of this.#sockets) {
      cutOff += responses.length
      socket.destroy()
    }
    return cutOff
  }

  #add(socket: Socket): void {
    if (this.#sockets.size >= this.#limits.maxConnections) {
      socket.destroy()
      this.#logFull()
      return
    }
    const activity = {
      responses: [],
      bytesRead: 0,
      quietSince: performance.now(),
      mustEnd: false,
      failure: undefined,
    }
    this.#sockets.set(socket, activity)
    socket.once('close', () => this.#sockets.delete(socket))
    // Node calls it after the last response of a connection.
    socket.destroySoon = () => closeGently(socket)
  }

  /**
   * The last response of a connection says so. A pipelined request that came later is answered as
   * well.
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
   * Rejects requests whose body has stopped arriving, unless it is the server that does not read
   * it.
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

  #logFull(): void {
    const now = performance.now()
    if (now - this.#fullLoggedAt < FULL_LOG_MS) return
    this.#fullLoggedAt = now
    const { maxConnections } = this.#limits
    this.#log.warn({ maxConnections }, 'new connections are closed: there are too many')
  }
}

/** Whether a response has begun, or will come although nothing more is read. */
function isComing({ headersSent, req }: ServerResponse): boolean {
  return headersSent || req.complete
}

/** For how long nothing has arrived, milliseconds, as far as it was looked at. */
function quietFor({ bytesRead }: Socket, activity: Activity): number {
  const now = performance.now()
  if (bytesRead !== activity.bytesRead) {
    activity.bytesRead = bytesRead
    activity.quietSince = now
  }
  return now - activity.quietSince
}
