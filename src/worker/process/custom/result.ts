/** Converts the result of a custom handler into the bodies of a reply. */
import { types } from 'node:util'
import { ServerError } from '../../../errors.ts'
import type { WirePrediction, WireRequest, WorkerReply } from '../../wire/messages.ts'
import { errorPrediction, errorReply } from '../loop/replies.ts'
import { reportError } from '../report-error.ts'
import type { HandlerContext, RequestProcessor } from './context.ts'

const CONTENT_TYPE = 'content-type'

/**
 * Builds the reply to a batch whose handler returned `output`. An invalid output gives the error
 * message of MMS.
 */
export function replyWith(
  output: unknown,
  requests: readonly WireRequest[],
  context: HandlerContext,
): WorkerReply {
  if (!Array.isArray(output)) return errorReply(503, 'Invalid model predict output', requests)
  if (output.length !== requests.length) {
    return errorReply(503, 'number of batch response mismatched', requests)
  }
  const predictions: WirePrediction[] = []
  for (const [index, processor] of context.requestProcessor.entries()) {
    const body = encodeBody(output[index], { indent: 2, end: '' })
    // As in MMS, one such element fails the whole batch.
    if (body === undefined) return errorReply(503, 'Unsupported model output data type.', requests)
    predictions.push(toPrediction(context.getRequestId(index), processor, body))
  }
  return { code: 200, message: 'Prediction success', predictions }
}

/** The response to one request; an error if the handler set an invalid status or header. */
export function toPrediction(
  id: string,
  processor: RequestProcessor,
  body: Buffer,
): WirePrediction {
  const { mistake } = processor
  if (mistake !== undefined) {
    // With the stack, which shows the line of the handler.
    reportError('Invalid response', mistake)
    return errorPrediction(id, new ServerError('InternalServerException', mistake.message))
  }
  return {
    id,
    contentType: processor.getResponseHeader(CONTENT_TYPE) ?? '',
    status: processor.getResponseStatusCode(),
    reason: processor.getResponseStatusPhrase(),
    headers: processor.getResponseHeaders(),
    body,
  }
}

/**
 * Encodes bytes unchanged, text as UTF-8, and anything else as JSON, which is followed by `end`.
 * `undefined` for a value that JSON cannot represent.
 */
export function encodeBody(
  value: unknown,
  { indent, end }: { readonly indent: number; readonly end: string },
): Buffer | undefined {
  if (Buffer.isBuffer(value)) return value
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }
  if (typeof value === 'string') return Buffer.from(value)
  try {
    // JSON.stringify would write typed arrays as objects with numbered keys.
    const json = JSON.stringify(types.isTypedArray(value) ? [...value] : value, undefined, indent)
    return json === undefined ? undefined : Buffer.from(json + end)
  } catch {
    return undefined
  }
}
