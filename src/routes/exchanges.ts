import process from 'node:process'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import { largeBuffers } from '../buffer-pool.ts'
import type { StatusCounts } from '../models/metrics-counts.ts'
import type { App } from './route-context.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The requests of the app that are not over yet. */
    exchanges: Exchanges
  }
  interface FastifyRequest {
    /** Called once when the connection ends before the answer was handed over to it. */
    onLeave: (() => void) | undefined
    /** Body of the answer: nobody reads it once the request is over. */
    lent: Buffer | undefined
  }
}

/** What a request counts and logs as whose client left before it was answered; no answer has it. */
const CLIENT_LEFT = 499

/**
 * Requests from their arrival to the last byte of the answer, or until the client goes. One listener for each
 * request counts it, logs it, and tells who works for it that nobody waits any more: 'close' of the response
 * comes in both cases, where Fastify's hooks each miss one, and its `request.signal` fires right after a
 * body was read (5.12.8).
 */
export class Exchanges {
  readonly #app: App
  readonly #counts: StatusCounts
  readonly #log: FastifyBaseLogger | undefined
  #open = 0
  #sayIdle: (() => void) | undefined

  /** Use {@link watchExchanges}. */
  constructor(app: App, counts: StatusCounts, log: FastifyBaseLogger | undefined) {
    this.#app = app
    this.#counts = counts
    this.#log = log
    app.addHook('onRequest', (request, reply, done) => {
      const startedAt = log === undefined ? 0 : performance.now()
      this.#open += 1
      reply.raw.once('close', () => this.#end(request, reply, startedAt))
      // What came with the head is parsed first: an early refusal then knows whether the request is complete.
      process.nextTick(done)
    })
  }

  /**
   * Stops listening and closes the app once every accepted request is answered, or after `drainMs`.
   * Fastify waits for connections instead, and a client may keep one open for minutes without a request.
   */
  async close(drainMs: number, log: FastifyBaseLogger): Promise<void> {
    const closed = this.#app.close()
    const answered = new Promise<void>((resolve) => {
      this.#sayIdle = resolve
      if (this.#open === 0) resolve()
    })
    const timer = setTimeout(() => {
      log.warn({ open: this.#open }, 'requests were cut off')
      this.#sayIdle?.()
    }, drainMs)
    await Promise.race([answered, closed])
    clearTimeout(timer)
    this.#app.server.closeAllConnections()
    await closed
  }

  #end(request: FastifyRequest, { raw }: FastifyReply, startedAt: number): void {
    this.#open -= 1
    const hasLeft = !raw.writableEnded
    const status = hasLeft ? CLIENT_LEFT : raw.statusCode
    this.#counts.count(status)
    if (this.#log !== undefined) logRequest(this.#log, request, status, startedAt)
    if (hasLeft) request.onLeave?.()
    if (request.lent !== undefined) largeBuffers.give(request.lent)
    if (this.#open === 0) this.#sayIdle?.()
  }
}

/**
 * Watches the requests of an app from here on, as its `exchanges`.
 * @param log Gets a line for each request; none are written without.
 */
export function watchExchanges(
  app: App,
  counts: StatusCounts,
  log: FastifyBaseLogger | undefined,
): void {
  app.decorateRequest('onLeave', undefined)
  app.decorateRequest('lent', undefined)
  const exchanges = new Exchanges(app, counts, log)
  app.decorate('exchanges', { getter: () => exchanges })
}

/** Has `onLeave` called once if the client goes before its answer was handed over, at once if it has gone already. */
export function whenClientLeaves(
  request: FastifyRequest,
  { raw }: FastifyReply,
  onLeave: () => void,
): void {
  if (raw.destroyed) onLeave()
  else request.onLeave = onLeave
}

function logRequest(
  log: FastifyBaseLogger,
  { id, method, ip, routeOptions }: FastifyRequest,
  status: number,
  startedAt: number,
): void {
  const ms = Math.round((performance.now() - startedAt) * 100) / 100
  const route = routeOptions.url ?? 'unknown'
  log.info({ requestId: id, method, route, status, ms, ip }, 'request')
}
