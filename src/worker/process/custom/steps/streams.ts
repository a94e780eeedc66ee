/** Responses that `postprocess` streams. */
import { ServerError } from '../../../../errors.ts'
import type { WirePrediction, WireRequest } from '../../../wire/messages.ts'
import type { ModelReply, WorkerOptions } from '../../handler.ts'
import { errorPredictionFor } from '../../onnx/prediction.ts'
import type { HandlerContext } from '../context.ts'
import type { Stream } from '../streams/find-streams.ts'
import type { StepRequest } from './request.ts'

/** A stream in place of a response. */
export class StreamedResult {
  readonly stream: Stream
  readonly request: StepRequest
  readonly context: HandlerContext

  constructor(stream: Stream, request: StepRequest, context: HandlerContext) {
    this.stream = stream
    this.request = request
    this.context = context
  }
}

/**
 * Builds the reply to a batch with streams; its predictions are in the order of the requests.
 * @param onEnd Called when all streams have ended.
 */
export async function replyWithStreams(
  requests: readonly WireRequest[],
  results: readonly (WirePrediction | StreamedResult)[],
  options: WorkerOptions,
  onEnd: () => void,
): Promise<ModelReply> {
  const { streamReply } = await import('../streams/stream-reply.ts')
  const streamed = results.filter((one) => one instanceof StreamedResult)
  const reply = await streamReply(
    streamed.map(({ stream }) => stream),
    streamed.map(({ request }) => request.wire),
    { requestProcessor: streamed.flatMap(({ context }) => context.requestProcessor) },
    options,
    onEnd,
  )
  const plain = results.filter((one) => 'body' in one)
  const begun = reply.code === 200 ? reply.predictions : streamed.map((one) => failed(one, reply))
  const known = new Map([...plain, ...begun].map((prediction) => [prediction.id, prediction]))
  const predictions = requests.flatMap(({ id }) => known.get(id) ?? [])
  return { ...reply, code: 200, predictions }
}

/** A stream that failed before its first chunk. */
function failed({ request }: StreamedResult, { code, message }: ModelReply): WirePrediction {
  const statusCode = code >= 400 && code <= 599 ? code : 500
  const error = new ServerError('InternalServerException', message, { statusCode })
  return errorPredictionFor(request.id, error, request.requestHeaders.dialect)
}
