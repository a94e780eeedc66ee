import { lookup } from 'node:dns/promises'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import { memoryOf } from '../../buffer-pool.ts'
import type { StatusCounts } from '../../models/metrics/counts.ts'
import type { Recorder } from '../../models/recorder/recorder.ts'
import type { Prediction } from '../../models/scheduling/prediction.ts'
import type { App } from '../route-context.ts'
import type { Tracing } from '../tracing/tracing.ts'
import { logRequest } from './access-log.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { Connections } from './connections/connections.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The requests of the app that are not finished. */
    openRequests: OpenRequests
  }
  interface FastifyRequest {
    /** Called once if the connection closes before the response was handed to it. */
    onLeave: (() => void) | undefined
    /** Bytes that the byte budget counts for this request. */
    held: number
    /** When its headers arrived, on the clock of `performance.now()`. */
    receivedAt: number
    /** Type of the error that was sent; absent for other responses. */
    errorType: string | undefined
    /** Status that is logged for a streamed response that failed after it had begun. */
    brokenStatus: number | undefined
    /** The response of a model. Its memory is reused after the request. */
    prediction: Prediction | undefined
  }
}

/** Options of {@link watchRequests}. */
export interface RequestWatchOptions {
  readonly connections: Connections
  readonly budget: ByteBudget
  readonly counts: StatusCounts
  /** Logger for the access log, one line for each request. Absent if the access log is off. */
  readonly log: FastifyBaseLogger | undefined
  /** One of this many successful requests is logged. */
  readonly logSample: number
  /** Whether responses of predictions have a `Server-Timing` header. */
  readonly serverTiming: boolean
  /** Maximum bytes of a streamed response that is collected. */
  readonly maxResponseBytes: number
  /** Absent if requests are not traced. */
  readonly tracing: Tracing | undefined
  /** Absent if requests are not recorded. */
  readonly recorder: Recorder | undefined
}

/**
 * Status that is logged and counted if the client disconnects before the response. It is never
 * sent.
 */
const CLIENT_LEFT = 499

/**
 * Tracks each request until the last byte of its response is sent or its client disconnects. Then
 * it counts and logs the request, and calls `onLeave` if the client has disconnected.
 * It uses the event 'close' of the response, which is emitted in both cases. Each of Fastify's
 * hooks misses one case, and `request.signal` fires right after a body was read (Fastify 5.12.8).
 */
export class OpenRequests {
  /** Whether responses of predictions have a `Server-Timing` header. */
  readonly hasServerTiming: boolean
  readonly maxResponseBytes: number
  /** Absent if requests are not recorded. */
  readonly recorder: Recorder | undefined
  readonly #app: App
  readonly #connections: Connections
  readonly #budget: ByteBudget
  readonly #counts: StatusCounts
  readonly #log: FastifyBaseLogger | undefined
  readonly #logSample: number
  #succeeded = 0

  /** Use {@link watchRequests}. */
  constructor(app: App, options: RequestWatchOptions) {
    const { connections, budget, counts, log, logSample, serverTiming, tracing } = options
    this.#logSample = logSample
    this.hasServerTiming = serverTiming
    this.maxResponseBytes = options.maxResponseBytes
    this.recorder = options.recorder
    this.#app = app
    this.#connections = connections
    this.#budget = budget
    this.#counts = counts
    this.#log = log
    app.addHook('onRequest', (request, reply, done) => {
      request.receivedAt = performance.now()
      if (tracing !== undefined) request.trace = tracing.begin(request)
      connections.begin(request.raw, reply.raw)
      reply.raw.on('close', () => this.#end(request, reply))
      // Lets the parser read a body that came with the headers, so that an early rejection knows
      // whether the request is complete.
      process.nextTick(done)
    })
    app.addHook('onSend', (request, reply, payload, done) => {
      // The rest of an unread body is dropped, and the connection is closed.
      if (!request.raw.complete) reply.raw.shouldKeepAlive = false
      done(null, payload)
    })
  }

  /**
   * Listens on the other IP addresses of a host name. `localhost` may have an IPv4 and an IPv6
   * address, and clients try both.
   */
  async listenOnOthers(name: string, { address, port }: AddressInfo): Promise<void> {
    const handler: RequestListener = (request, response) => this.#app.routing(request, response)
    for (const other of await lookup(name, { all: true }))
      if (other.address !== address) await this.#connections.listenAt(other.address, port, handler)
  }

  /**
   * Counts bytes that are held for a request, until its response is sent or its client disconnects.
   * @throws ServerError `ServiceUnavailableException` if the server holds too many bytes.
   */
  hold(request: FastifyRequest, bytes: number): void {
    this.#budget.hold(bytes, request.held)
    request.held += bytes
  }

  /**
   * Stores the response of a model and counts its body until it is sent. The request body is no
   * longer counted if its memory is already released.
   * @throws ServerError `ServiceUnavailableException` if the server holds too many bytes.
   */
  respondWith(request: FastifyRequest, prediction: Prediction): void {
    request.prediction = prediction
    if (prediction.hasReleasedRequest) this.release(request)
    this.hold(request, memoryOf(prediction.body))
  }

  /** Stops counting some of the bytes of a request, because they were sent. */
  releasePart(request: FastifyRequest, bytes: number): void {
    const counted = Math.min(bytes, request.held)
    this.#budget.release(counted)
    request.held -= counted
  }

  /** Stops counting the bytes of a request, because they were released before its end. */
  release(request: FastifyRequest): void {
    this.#budget.release(request.held)
    request.held = 0
  }

  /** Whether a client is connected, or was within the last `ms` milliseconds. */
  hasClientsWithin(ms: number): boolean {
    return this.#connections.hasClientsWithin(ms)
  }

  /** Makes the next response of each connection its last one. */
  startDraining(): void {
    this.#connections.startDraining()
  }

  /** Accepts no new connections. Requests on open ones are served as before. */
  stopListening(): void {
    this.#connections.stopListening()
  }

  /**
   * Stops listening. Closes the app when every accepted request has its response, or after
   * `drainMs`.
   */
  async close(drainMs: number, log: FastifyBaseLogger): Promise<void> {
    const open = await this.#connections.close(drainMs)
    if (open > 0) log.warn({ open }, 'open requests were aborted')
    await this.#app.close()
  }

  #end(request: FastifyRequest, { raw }: FastifyReply): void {
    this.#connections.end(request.raw, raw)
    this.release(request)
    const hasLeft = !raw.writableEnded
    const status = request.brokenStatus ?? (hasLeft ? CLIENT_LEFT : raw.statusCode)
    this.#counts.count(status)
    if (this.#log !== undefined && this.#isLogged(status)) {
      logRequest(this.#log, request, raw, status)
    }
    request.trace?.end(request, status)
    if (hasLeft) request.onLeave?.()
    request.recording?.end(request, status)
    request.prediction?.release()
  }

  /** The first of every `#logSample` successful requests, and each failed one. */
  #isLogged(status: number): boolean {
    return status >= 400 || this.#succeeded++ % this.#logSample === 0
  }
}

/** Tracks the requests of an app from now on. Adds the decorator `openRequests`. */
export function watchRequests(app: App, options: RequestWatchOptions): void {
  app.decorateRequest('onLeave', undefined)
  app.decorateRequest('held', 0)
  app.decorateRequest('receivedAt', 0)
  app.decorateRequest('errorType', undefined)
  app.decorateRequest('brokenStatus', undefined)
  app.decorateRequest('times', undefined)
  app.decorateRequest('chosenVersion', undefined)
  app.decorateRequest('trace', undefined)
  app.decorateRequest('recording', undefined)
  app.decorateRequest('prediction', undefined)
  const openRequests = new OpenRequests(app, options)
  app.decorate('openRequests', { getter: () => openRequests })
}

/**
 * Sets `onLeave`, which is called once if the client disconnects before the response was handed
 * over. It is called immediately if the client has already disconnected.
 */
export function whenClientLeaves(
  request: FastifyRequest,
  { raw }: FastifyReply,
  onLeave: () => void,
): void {
  if (raw.destroyed) onLeave()
  else request.onLeave = onLeave
}
