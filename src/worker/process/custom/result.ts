/** What a handler returned, turned into the bodies of a reply (MMS worker protocol, section 2.3). */
import { types } from 'node:util'
import type { WirePrediction, WireRequest, WorkerReply } from '../../wire/messages.ts'
import { errorReply } from '../loop/replies.ts'
import type { HandlerContext, RequestProcessor } from './context.ts'

const CONTENT_TYPE = 'content-type'

/** The reply to a batch whose handler returned `output`, in the original's words where it is no answer. */
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
    const body = encodeBody(output[index])
    // As in the original, one such element fails the whole batch.
    if (body === undefined) return errorReply(503, 'Unsupported model output data type.', requests)
    predictions.push(prediction(context.getRequestId(index), processor, body))
  }
  return { code: 200, message: 'Prediction success', predictions }
}

function prediction(id: string, processor: RequestProcessor, body: Buffer): WirePrediction {
  return {
    id,
    contentType: processor.getResponseHeader(CONTENT_TYPE) ?? '',
    status: processor.getResponseStatusCode(),
    reason: processor.getResponseStatusPhrase(),
    headers: processor.getResponseHeaders(),
    body,
  }
}

/** Bytes as they are, text as UTF-8, anything else as JSON; `undefined` for what JSON cannot hold. */
function encodeBody(value: unknown): Buffer | undefined {
  if (Buffer.isBuffer(value)) return value
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }
  if (typeof value === 'string') return Buffer.from(value)
  try {
    // JSON.stringify would write other typed arrays as objects with numbered keys.
    const json = JSON.stringify(types.isTypedArray(value) ? [...value] : value, undefined, 2)
    return json === undefined ? undefined : Buffer.from(json)
  } catch {
    return undefined
  }
}
