import { lookup } from 'node:dns/promises'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import type { StatusCounts } from '../../models/metrics/counts.ts'
import type { Prediction } from '../../models/scheduling/prediction.ts'
import type { App } from '../route-context.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { Connections } from './connections/connections.ts'
import { sentMethod } from './request-target.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The requests of the app that are not over yet. */
    exchanges: Exchanges
  }
  interface FastifyRequest {
    /** Called once when the connection ends before the answer was handed over to it. */
    onLeave: (() => void) | undefined
    /** Bytes that the budget counts for this request. */
    held: number
    /** The response of a model, whose memory is used again once the request is over. */
    prediction: Prediction | undefined
  }
}

/** What {@link watchExchanges} needs. */
export interface ExchangeOptions {
  readonly connections: Connections
  readonly budget: ByteBudget
  readonly counts: StatusCounts
  /** Gets a line for each request; none are written without. */
  readonly log: FastifyBaseLogger | undefined
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
  readonly #connections: Connections
  readonly #budget: ByteBudget
  readonly #counts: StatusCounts
  readonly #log: FastifyBaseLogger | undefined

  /** Use {@link watchExchanges}. */
  constructor(app: App, { connections, budget, counts, log }: ExchangeOptions) {
    this.#app = app
    this.#connections = connections
    this.#budget = budget
    this.#counts = counts
    this.#log = log
    app.addHook('onRequest', (request, reply, done) => {
      const startedAt = log === undefined ? 0 : performance.now()
      connections.begin(request.raw, reply.raw)
      reply.raw.once('close', () => this.#end(request, reply, startedAt))
      // What came with the head is parsed first: an early refusal then knows whether the request is complete.
      process.nextTick(done)
    })
    app.addHook('onSend', (request, reply, payload, done) => {
      // The rest of a body that nobody reads is dropped, and the connection with it.
      if (!request.raw.complete) reply.raw.shouldKeepAlive = false
      done(null, payload)
    })
  }

  /**
   * Listens at the further addresses of a name: `localhost` has one of each family, clients try
   * both.
   */
  async listenOnOthers(name: string, { address, port }: AddressInfo): Promise<void> {
    const handler: RequestListener = (request, response) => this.#app.routing(request, response)
    for (const other of await lookup(name, { all: true }))
      if (other.address !== address) await this.#connections.listenAt(other.address, port, handler)
  }

  /**
   * Counts bytes that are held for a request, until its response is sent or its client has left.
   * @throws ServerError `ServiceUnavailableException` when the server holds too many.
   */
  hold(request: FastifyRequest, bytes: number): void {
    this.#budget.hold(bytes, request.held)
    request.held += bytes
  }

  /**
   * The request is answered with what a model responded: its body is held until it is sent, that of
   * the request no longer than it may be read.
   * @throws ServerError `ServiceUnavailableException` when the server holds too many bytes.
   */
  respondWith(request: FastifyRequest, prediction: Prediction): void {
    request.prediction = prediction
    if (prediction.hasReleasedRequest) this.release(request)
    this.hold(request, prediction.body.length)
  }

  /** The bytes of a request were let go before its end. */
  release(request: FastifyRequest): void {
    this.#budget.release(request.held)
    request.held = 0
  }

  /** Whether a client is connected. */
  get hasConnections(): boolean {
    return this.#connections.count > 0
  }

  /** From now on each response is the last one of its connection. */
  startDraining(): void {
    this.#connections.startDraining()
  }

  /**
   * Stops listening and closes the app once every accepted request is answered and its response
   * sent, or after `drainMs`.
   */
  async close(drainMs: number, log: FastifyBaseLogger): Promise<void> {
    const open = await this.#connections.close(drainMs)
    if (open > 0) log.warn({ open }, 'requests were cut off')
    await this.#app.close()
  }

  #end(request: FastifyRequest, { raw }: FastifyReply, startedAt: number): void {
    this.#connections.end(request.raw, raw)
    this.release(request)
    const hasLeft = !raw.writableEnded
    const status = hasLeft ? CLIENT_LEFT : raw.statusCode
    this.#counts.count(status)
    if (this.#log !== undefined) logRequest(this.#log, request, status, startedAt)
    if (hasLeft) request.onLeave?.()
    request.prediction?.release()
  }
}

/** Watches the requests of an app from here on, as its `exchanges`. */
export function watchExchanges(app: App, options: ExchangeOptions): void {
  app.decorateRequest('onLeave', undefined)
  app.decorateRequest('held', 0)
  app.decorateRequest('prediction', undefined)
  const exchanges = new Exchanges(app, options)
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
  { id, raw, ip, routeOptions }: FastifyRequest,
  status: number,
  startedAt: number,
): void {
  const ms = Math.round((performance.now() - startedAt) * 100) / 100
  const route = routeOptions.url ?? 'unknown'
  log.info({ requestId: id, method: sentMethod(raw), route, status, ms, ip }, 'request')
}
