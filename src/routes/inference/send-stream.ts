/** Sends a response that comes in chunks: as server-sent events, or as chunks of HTTP. */
import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { largeBuffers } from '../../buffer-pool.ts'
import { EVENT_STREAM, wantsEvents } from '../../contract/event-stream.ts'
import { ServerError, messageOf } from '../../errors.ts'
import { collect } from '../../models/scheduling/prediction.ts'
import type { ResponseStream } from '../../models/scheduling/prediction.ts'
import type { Header } from '../../models/scheduling/queue/job.ts'
import { whenClientLeaves } from '../http/open-requests.ts'
import { EventText } from './event-text.ts'
import { hasBody, sendPrediction, setHeader, startResponse } from './send-prediction.ts'
import type { Response } from './send-prediction.ts'

/** Options of {@link sendStream}. */
export interface StreamOptions {
  /** The request headers as the worker got them. */
  readonly headers: readonly Header[]
  /** Whether the client expects one document: the chunks are collected and sent as a whole. */
  readonly isWhole: boolean
}

/**
 * Sends the head of a prediction and its chunks as they come. Resolves when the head is sent.
 * @throws ServerError if nothing was sent.
 */
export async function sendStream(
  reply: FastifyReply,
  prediction: Response,
  stream: ResponseStream,
  { headers, isWhole }: StreamOptions,
): Promise<FastifyReply> {
  const { request } = reply
  whenClientLeaves(request, reply, () => stream.cancel())
  try {
    if (isWhole) sendPrediction(reply, { ...prediction, body: await wholeBody(stream, request) })
    else sendChunks(reply, prediction, stream, wantsEvents(headers))
  } catch (error) {
    stream.cancel()
    throw error
  }
  return reply
}

function wholeBody(stream: ResponseStream, request: FastifyRequest): Promise<Buffer> {
  const { openRequests } = request.server
  const hold = (bytes: number): void => openRequests.hold(request, bytes)
  return collect(stream, openRequests.maxResponseBytes, hold)
}

function sendChunks(
  reply: FastifyReply,
  prediction: Response,
  stream: ResponseStream,
  acceptsEvents: boolean,
): void {
  const { status, contentType } = prediction
  // A handler that names the type writes the events itself.
  const asEvents = acceptsEvents && !contentType.toLowerCase().startsWith(EVENT_STREAM)
  const { raw, headers } = startResponse(reply, prediction)
  if (!hasBody(status)) {
    raw.writeHead(status, headers).end()
    return stream.cancel()
  }
  if (asEvents) setHeader(headers, 'content-type', EVENT_STREAM)
  // nginx would collect chunks before it passes them on.
  setHeader(headers, 'x-accel-buffering', 'no')
  raw.writeHead(status, headers).flushHeaders()
  const sender = new ChunkSender(reply.request, raw, stream, asEvents ? new EventText() : undefined)
  stream.read(sender)
}

/** Writes the chunks of one response, and makes the worker wait for a slow client. */
class ChunkSender {
  readonly #request: FastifyRequest
  readonly #raw: ServerResponse
  readonly #stream: ResponseStream
  /** Absent if the chunks are sent as they are. */
  readonly #events: EventText | undefined
  /** Chunks that the system has not taken yet. */
  #unsent = 0
  /** Whether the connection has no room for more. */
  #isWaiting = false
  #isBroken = false

  constructor(
    request: FastifyRequest,
    raw: ServerResponse,
    stream: ResponseStream,
    events: EventText | undefined,
  ) {
    this.#request = request
    this.#raw = raw
    this.#stream = stream
    this.#events = events
  }

  onChunk = (chunk: Buffer): void => {
    if (this.#isBroken) return largeBuffers.give(chunk)
    const { openRequests } = this.#request.server
    const data = this.#events === undefined ? chunk : Buffer.from(this.#events.of(chunk))
    try {
      openRequests.hold(this.#request, data.length)
    } catch (error) {
      largeBuffers.give(chunk)
      this.#stream.cancel()
      return this.#break(error)
    }
    this.#unsent += 1
    const hasRoom = this.#raw.write(data, () => {
      openRequests.releasePart(this.#request, data.length)
      largeBuffers.give(chunk)
      this.#unsent -= 1
      if (this.#isBroken) this.#destroyIfSent()
    })
    if (hasRoom || this.#isWaiting) return
    this.#isWaiting = true
    this.#stream.pause()
    this.#raw.once('drain', () => {
      this.#isWaiting = false
      this.#stream.resume()
    })
  }

  onEnd = (error: Error | undefined): void => {
    if (error !== undefined) return this.#break(error)
    this.#raw.end(this.#events?.end(undefined))
  }

  /** Ends the response so that the client sees that it is not complete. */
  #break(thrown: unknown): void {
    if (this.#raw.destroyed || this.#isBroken) return
    const error = asServerError(thrown)
    const { id, log } = this.#request
    this.#isBroken = true
    this.#request.errorType = error.type
    this.#request.brokenStatus = error.statusCode
    log.warn(
      { requestId: id, type: error.type, reason: error.message, err: thrown },
      'a streamed response failed',
    )
    if (this.#events !== undefined) this.#raw.end(this.#events.end(error))
    else this.#destroyIfSent()
  }

  /** What came before the error is sent first. */
  #destroyIfSent(): void {
    const { socket, req } = this.#raw
    if (this.#unsent > 0 || this.#events !== undefined || socket === null) return
    // Without chunks, only a reset shows that the end of the connection is not that of the body.
    if (req.httpVersion === '1.0' && !('encrypted' in socket)) socket.resetAndDestroy()
    else socket.destroy()
  }
}

function asServerError(thrown: unknown): ServerError {
  if (thrown instanceof ServerError) return thrown
  return new ServerError('InternalServerException', messageOf(thrown), { cause: thrown })
}
