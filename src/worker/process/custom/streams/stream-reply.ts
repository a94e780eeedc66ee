/** The reply to a batch for which a custom handler returned at least one stream. */
import { ServerError } from '../../../../errors.ts'
import { STREAM_HEADER } from '../../../wire/messages.ts'
import type { WirePrediction, WireRequest, WorkerReply } from '../../../wire/messages.ts'
import type { ModelReply, WorkerOptions } from '../../handler.ts'
import { errorPrediction, withinLimit } from '../../loop/replies.ts'
import type { HandlerContext } from '../context.ts'
import { encodeBody, toPrediction } from '../result.ts'
import { ChunkedReplies, errorIn } from './chunked-replies.ts'
import type { HandlerStream } from './chunked-replies.ts'
import { isStream } from './find-streams.ts'

/**
 * Builds the first reply; the others follow if `settings.streams` is set.
 * @param elements One for each request: a stream, or the value of a plain response.
 * @param onEnd Called when all streams have ended.
 */
export async function streamReply(
  elements: readonly unknown[],
  requests: readonly WireRequest[],
  context: Pick<HandlerContext, 'requestProcessor'>,
  settings: Pick<WorkerOptions, 'maxResponseBytes' | 'streams'>,
  onEnd: () => void,
): Promise<ModelReply> {
  const { maxResponseBytes, streams: mayStream } = settings
  const plain: WirePrediction[] = []
  const streams: HandlerStream[] = []
  for (const [index, request] of requests.entries()) {
    const processor = context.requestProcessor[index]
    const element = elements[index]
    if (processor === undefined) continue
    if (isStream(element)) {
      streams.push({ request, processor, stream: element })
      continue
    }
    const body = encodeBody(element, { indent: 2, end: '' })
    // Unlike in a batch without a stream, only this request fails: the streams may have begun.
    plain.push(
      body === undefined
        ? errorPrediction(request.id, unsupported())
        : toPrediction(request.id, processor, body),
    )
  }
  const limited = withinLimit({ code: 200, message: '', predictions: plain }, maxResponseBytes)
  const first = await new ChunkedReplies(streams, maxResponseBytes, onEnd).first(
    limited.predictions,
  )
  if (first.more !== undefined && mayStream) return first
  return first.code === 200 ? collected(first, requests, maxResponseBytes) : first
}

/** The chunks of one response. */
interface Collected {
  readonly first: WirePrediction
  readonly chunks: Buffer[]
  bytes: number
  error: WirePrediction | undefined
}

/**
 * Reads all streams to their end, for a front-end that accepts one reply only. The predictions are
 * in the order of the requests.
 */
async function collected(
  first: ModelReply,
  requests: readonly WireRequest[],
  maxBytes: number,
): Promise<WorkerReply> {
  const responses = new Map<string, Collected>()
  let reply: WorkerReply | undefined = first
  for (; reply !== undefined; reply = await first.more?.next()) {
    for (const prediction of reply.predictions) {
      const { id, body } = prediction
      const known = responses.get(id)
      if (known === undefined) {
        responses.set(id, {
          first: prediction,
          chunks: [body],
          bytes: body.length,
          error: undefined,
        })
      } else if (reply.code !== 200) {
        known.error ??= errorIn(reply, id)
      } else {
        known.chunks.push(body)
        known.bytes += body.length
        if (known.bytes <= maxBytes || known.error !== undefined) continue
        known.error = errorPrediction(id, tooLarge(maxBytes))
        known.chunks.length = 0
        first.more?.cancel(id)
      }
    }
  }
  const predictions = requests.flatMap(({ id }) => {
    const response = responses.get(id)
    return response === undefined ? [] : [response.error ?? joined(response)]
  })
  return { code: 200, message: first.message, predictions }
}

function joined({ first, chunks }: Collected): WirePrediction {
  const headers = first.headers.filter(([name]) => name !== STREAM_HEADER)
  return { ...first, headers, body: chunks.length === 1 ? first.body : Buffer.concat(chunks) }
}

function tooLarge(maxBytes: number): ServerError {
  const text = `The response has more bytes than the limit of ${maxBytes} (maxResponseBytes).`
  return new ServerError('InsufficientMemoryException', text)
}

function unsupported(): ServerError {
  const text = 'Unsupported model output data type.'
  return new ServerError('InternalServerException', text, { statusCode: 503 })
}
