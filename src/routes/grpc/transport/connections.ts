/** The connections and calls of the gRPC listener: their limits, and how they end. */
import type { Http2Session } from 'node:http2'
import { Server as NetServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { ServerError } from '../../../errors.ts'
import type { ConnectionLimits } from '../../http/connections/connection-limits.ts'
import type { GrpcServer } from '../access.ts'
import type { Call } from './call.ts'

/** How often calls and connections are checked. */
const CHECK_MS = 1000
/** How often the end of the calls is checked while the listener stops. */
const DRAIN_CHECK_MS = 20
/** A connection with calls is pinged this often. Without a response it is closed. */
const PING_MS = 20_000

/** State of a connection. */
interface Activity {
  readonly calls: Set<Call>
  readonly ip: string
  /** Since when it has no call, or since when its client was not heard. */
  quietSince: number
  isPinged: boolean
}

export class GrpcConnections {
  readonly #limits: ConnectionLimits
  readonly #log: FastifyBaseLogger
  readonly #servers = new Set<GrpcServer>()
  readonly #sessions = new Map<Http2Session, Activity>()
  readonly #timer: NodeJS.Timeout
  #closedAt = Number.NEGATIVE_INFINITY
  #isStopping = false

  constructor(limits: ConnectionLimits, log: FastifyBaseLogger) {
    this.#limits = limits
    this.#log = log
    this.#timer = setInterval(() => this.#check(performance.now()), CHECK_MS).unref()
  }

  /** Whether a client is connected, or was within the last `ms` milliseconds. */
  hasClientsWithin(ms: number): boolean {
    return this.#sessions.size > 0 || performance.now() - this.#closedAt < ms
  }

  /** Whether the listener accepts no more calls. */
  get isStopping(): boolean {
    return this.#isStopping
  }

  /** Applies the limits to the connections of a server. */
  watch(server: GrpcServer): void {
    this.#servers.add(server)
    server.maxConnections = this.#limits.maxConnections
    server.on('session', (session: Http2Session) => this.#add(session))
    // Each of these errors ends its connection only.
    server.on('sessionError', (error: Error) =>
      this.#log.debug({ err: error }, 'gRPC connection failed'),
    )
  }

  /** Registers a call that has begun. */
  begin(call: Call): void {
    const { session } = call.stream
    const activity = session === undefined ? undefined : this.#sessions.get(session)
    if (activity === undefined) return
    activity.calls.add(call)
    call.ip = activity.ip
    call.stream.once('close', () => {
      activity.calls.delete(call)
      activity.quietSince = performance.now()
    })
  }

  /** Accepts no new connections. Calls on open ones are served as before. */
  stopListening(): void {
    for (const server of this.#servers) NetServer.prototype.close.call(server)
  }

  /**
   * Stops listening and tells the clients that each connection ends (GOAWAY). Calls that are
   * running finish.
   * @returns The number of calls that were cut off after `drainMs`.
   */
  async close(drainMs: number): Promise<number> {
    this.#isStopping = true
    this.stopListening()
    for (const server of this.#servers) server.close()
    for (const [session, { calls }] of this.#sessions) {
      for (const call of calls) call.onDrain?.()
      session.close()
    }
    const deadline = performance.now() + drainMs
    while (this.#sessions.size > 0 && performance.now() < deadline) await delay(DRAIN_CHECK_MS)
    clearInterval(this.#timer)
    let cutOff = 0
    for (const [session, { calls }] of this.#sessions) {
      cutOff += calls.size
      session.destroy()
    }
    return cutOff
  }

  #add(session: Http2Session): void {
    const activity = {
      calls: new Set<Call>(),
      ip: session.socket.remoteAddress ?? '',
      quietSince: performance.now(),
      isPinged: false,
    }
    this.#sessions.set(session, activity)
    session.once('close', () => {
      this.#sessions.delete(session)
      this.#closedAt = performance.now()
    })
    const { headersTimeoutMs } = this.#limits
    const timer = setTimeout(() => session.destroy(), headersTimeoutMs).unref()
    session.once('remoteSettings', () => clearTimeout(timer))
    session.once('close', () => clearTimeout(timer))
    if (this.#isStopping) session.close()
  }

  #check(now: number): void {
    for (const [session, activity] of this.#sessions) {
      for (const call of activity.calls) this.#checkCall(call, now)
      const quietMs = now - activity.quietSince
      if (activity.calls.size > 0) {
        if (quietMs >= PING_MS) this.#ping(session, activity)
      } else if (quietMs >= this.#limits.keepAliveTimeoutMs) session.close()
    }
  }

  /** A client that vanished without a word must not keep its calls open. */
  #ping(session: Http2Session, activity: Activity): void {
    if (activity.isPinged) {
      this.#log.debug('a gRPC connection was closed because its client does not respond')
      session.destroy()
      return
    }
    activity.isPinged = true
    activity.quietSince = performance.now()
    session.ping(() => {
      activity.isPinged = false
    })
  }

  #checkCall(call: Call, now: number): void {
    const { requestTimeoutMs, bodyTimeoutMs, writeTimeoutMs } = this.#limits
    const { end, messageBegunAt, heardAt } = call
    if (call.isStalled(now, writeTimeoutMs)) {
      this.#log.warn('a gRPC call was ended because the client did not read the response')
      return call.abort()
    }
    if (end !== undefined) return
    const begunAt = messageBegunAt ?? call.awaitsSince
    if (begunAt === undefined) return
    const isSlow = now - begunAt >= requestTimeoutMs
    if (!isSlow && now - heardAt < bodyTimeoutMs) return
    const limit = isSlow ? 'requestTimeout' : 'bodyTimeout'
    const text = `The request message did not arrive completely within ${limit}.`
    call.fail(new ServerError('RequestTimeoutException', text))
  }
}
