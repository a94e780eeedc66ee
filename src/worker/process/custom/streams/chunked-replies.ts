/**
 * Sends the streams that a custom handler returned. Each chunk is a prediction with TorchServe's
 * header `ts_stream_next`. See `docs/worker-protocol.md`.
 */
import { wantsEvents } from '../../../../contract/event-stream.ts'
import { ServerError } from '../../../../errors.ts'
import { STREAM_HEADER } from '../../../wire/messages.ts'
import type {
  WireHeader,
  WirePrediction,
  WireRequest,
  WorkerReply,
} from '../../../wire/messages.ts'
import type { FurtherReplies, ModelReply } from '../../handler.ts'
import { errorPrediction, errorReply, predictFailedReply } from '../../loop/replies.ts'
import { reportError } from '../../report-error.ts'
import type { RequestProcessor } from '../context.ts'
import { encodeBody, toPrediction } from '../result.ts'
import { iteratorOf } from './find-streams.ts'
import type { Stream } from './find-streams.ts'

const LINES = 'application/x-ndjson'
const MESSAGE = 'Prediction success'
const EMPTY = Buffer.alloc(0)
const NEXT: WireHeader = [STREAM_HEADER, 'true']
const LAST: WireHeader = [STREAM_HEADER, 'false']

/** The stream for one request, and what its response needs. */
export interface HandlerStream {
  readonly request: WireRequest
  readonly processor: RequestProcessor
  readonly stream: Stream
}

/** A stream that has not ended. */
interface OpenStream extends HandlerStream {
  readonly asEvents: boolean
  /** Absent before its first chunk is read. */
  iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined
  hasBegun: boolean
  /** Resolves when the handler's code has ended after a cancellation. */
  closing: Promise<void> | undefined
}

/** A chunk, or the end of a stream. */
type Part = { readonly from: OpenStream } & (
  | { readonly prediction: WirePrediction; readonly isLast: boolean }
  | { readonly failure: WorkerReply; readonly isLast: true }
)

/** The streams of one batch. Of each, one chunk is read ahead at most. */
export class ChunkedReplies implements FurtherReplies {
  readonly #open: Map<string, OpenStream>
  readonly #maxBytes: number
  readonly #onEnd: () => void
  /** Streams whose last chunk was sent. */
  readonly #idle: OpenStream[]
  readonly #ready: Part[] = []
  #wake = (): void => {}

  /**
   * @param maxBytes Maximum size of a chunk.
   * @param onEnd Called when all streams have ended.
   */
  constructor(streams: readonly HandlerStream[], maxBytes: number, onEnd: () => void) {
    this.#idle = streams.map((stream) => ({
      ...stream,
      asEvents: wantsEvents(stream.request.headers),
      iterator: undefined,
      hasBegun: false,
      closing: undefined,
    }))
    this.#open = new Map(this.#idle.map((stream) => [stream.request.id, stream]))
    this.#maxBytes = maxBytes
    this.#onEnd = onEnd
  }

  /**
   * Resolves with the first reply, when the first chunk is there. A stream that fails before its
   * first chunk is answered like a handler that throws.
   * @param plain The responses that are not streamed.
   */
  async first(plain: readonly WirePrediction[]): Promise<ModelReply> {
    const isAlone = this.#open.size === 1 && plain.length === 0
    const predictions = [...plain]
    for (let part = await this.#take(); part !== undefined; part = await this.#take()) {
      if ('failure' in part) {
        if (isAlone) return part.failure
        predictions.push(errorIn(part.failure, part.from.request.id))
        continue
      }
      predictions.push(part.prediction)
      if (!part.isLast) return { code: 200, message: MESSAGE, predictions, more: this }
    }
    return { code: 200, message: MESSAGE, predictions }
  }

  async next(): Promise<WorkerReply | undefined> {
    const part = await this.#take()
    if (part === undefined || 'failure' in part) return part?.failure
    return { code: 200, message: MESSAGE, predictions: [part.prediction] }
  }

  cancel(id?: string): void {
    for (const stream of this.#open.values()) {
      if (id !== undefined && stream.request.id !== id) continue
      stream.processor.leave()
      stream.closing ??= close(stream)
    }
  }

  async #take(): Promise<Part | undefined> {
    for (const stream of this.#idle.splice(0)) void this.#advance(stream)
    if (this.#open.size === 0) return undefined
    if (this.#ready.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    const part = this.#ready.shift()
    if (part === undefined) return undefined
    const { from, isLast } = part
    if (!isLast) this.#idle.push(from)
    else if (this.#open.delete(from.request.id) && this.#open.size === 0) this.#onEnd()
    return part
  }

  /** Reads the next chunk of a stream. Never rejects. */
  async #advance(from: OpenStream): Promise<void> {
    let part: Part
    try {
      part = await this.#read(from)
    } catch (error) {
      from.closing ??= close(from)
      reportError('Prediction failed', error)
      part = { from, failure: failureOf(error, from.request), isLast: true }
    }
    await from.closing
    // The front-end drops what comes after a cancellation, so the chunk need not be sent.
    const isOver = from.closing !== undefined && !part.isLast
    this.#ready.push(isOver ? { from, prediction: lastPrediction(from), isLast: true } : part)
    this.#wake()
  }

  async #read(from: OpenStream): Promise<Part> {
    if (from.closing !== undefined) return { from, prediction: lastPrediction(from), isLast: true }
    from.iterator ??= iteratorOf(from.stream)
    const step: IteratorResult<unknown, unknown> = await from.iterator.next()
    // A stream without a chunk has an empty response, with the status and headers of the handler.
    if (step.done === true && from.hasBegun)
      return { from, prediction: lastPrediction(from), isLast: true }
    const value = step.done === true ? '' : step.value
    return { from, prediction: this.#chunk(from, value), isLast: false }
  }

  /** @throws ServerError when the value has no bytes, or too many. */
  #chunk(from: OpenStream, value: unknown): WirePrediction {
    const isText = typeof value === 'string' || value instanceof Uint8Array
    const end = isText || from.asEvents ? '' : '\n'
    const body = encodeBody(value, { indent: 0, end })
    if (body === undefined) {
      const text = 'Unsupported model output data type.'
      throw new ServerError('InternalServerException', text, { statusCode: 503 })
    }
    if (body.length > this.#maxBytes) throw tooLarge(body.length, this.#maxBytes)
    if (from.hasBegun) return { ...lastPrediction(from), headers: [NEXT], body }
    const { mistake } = from.processor
    if (mistake !== undefined) throw new ServerError('InternalServerException', mistake.message)
    from.hasBegun = true
    const first = toPrediction(from.request.id, from.processor, body)
    const contentType = first.contentType || (isText ? '' : LINES)
    return { ...first, contentType, headers: [...first.headers, NEXT] }
  }
}

function failureOf(error: unknown, request: WireRequest): WorkerReply {
  // The text of a limit says more than that of an error without memory.
  if (error instanceof ServerError) return errorReply(error.statusCode, error.message, [request])
  return predictFailedReply(error, [request])
}

/** The end of a response, without a chunk. */
function lastPrediction({ request: { id } }: OpenStream): WirePrediction {
  return { id, contentType: '', status: 200, reason: '', headers: [LAST], body: EMPTY }
}

/** The response to one request of a reply that failed. */
export function errorIn({ code, message }: WorkerReply, id: string): WirePrediction {
  return errorPrediction(
    id,
    new ServerError('InternalServerException', message, { statusCode: code }),
  )
}

function tooLarge(bytes: number, maxBytes: number): ServerError {
  return new ServerError(
    'InsufficientMemoryException',
    `A chunk of the response has ${bytes} bytes, more than the limit of ${maxBytes} (maxResponseBytes).`,
  )
}

/** Ends the handler's code. Never rejects. */
async function close({ iterator }: OpenStream): Promise<void> {
  try {
    await iterator?.return?.()
  } catch (error) {
    reportError('The stream did not end without an error', error)
  }
}
