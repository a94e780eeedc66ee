/** Responses of handlers with steps. */
import type { HandlerResponse } from '../../../../../types/handler.d.ts'
import { ServerError } from '../../../../errors.ts'
import type { WirePrediction, WireRequest } from '../../../wire/messages.ts'
import type { HandlerContext } from '../context.ts'
import { replyWith } from '../result.ts'

const OK = 200

/** A response of the built-in handler, which a handler may read and return. */
export class StepResponse implements HandlerResponse {
  readonly prediction: WirePrediction

  constructor(prediction: WirePrediction) {
    this.prediction = prediction
  }

  get status(): number {
    return this.prediction.status
  }

  get contentType(): string {
    return this.prediction.contentType
  }

  get headers(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.prediction.headers)
  }

  get body(): Buffer {
    return this.prediction.body
  }

  json(): unknown {
    return JSON.parse(this.prediction.body.toString('utf8'))
  }
}

/**
 * The response with the status and the headers that the handler set. A value that is no text and no
 * bytes becomes JSON.
 * @throws ServerError 500 for a value that cannot be a response.
 */
export function predictionOf(
  result: unknown,
  request: WireRequest,
  context: HandlerContext,
): WirePrediction {
  const isBuiltIn = result instanceof StepResponse
  const body = isBuiltIn ? result.body : result
  const [processor] = context.requestProcessor
  const isJson = !isBuiltIn && typeof body !== 'string' && !(body instanceof Uint8Array)
  if (isJson && processor?.getResponseHeader('content-type') === undefined) {
    context.setResponseContentType(0, 'application/json')
  }
  const { code, message, predictions } = replyWith([body], [request], context)
  const [own] = predictions
  if (code !== OK || own === undefined) {
    const text = `The handler returned no valid response: ${message}`
    throw new ServerError('InternalServerException', text)
  }
  // A header or status that cannot be sent has become an error.
  if (!isBuiltIn || processor?.mistake !== undefined) return own
  const { prediction } = result
  const set = new Set(own.headers.map(([name]) => name.toLowerCase()))
  return {
    ...prediction,
    ...(own.status === OK ? {} : { status: own.status, reason: own.reason }),
    contentType: own.contentType || prediction.contentType,
    headers: [
      ...prediction.headers.filter(([name]) => !set.has(name.toLowerCase())),
      ...own.headers,
    ],
  }
}
