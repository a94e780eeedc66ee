/**
 * Builds the replies of an MMS worker, and the replies that onnxd adds. See
 * `docs/worker-protocol.md`.
 */
import { ServerError, messageOf } from '../../../errors.ts'
import type { WireHeader, WirePrediction, WireRequest, WorkerReply } from '../../wire/messages.ts'
import { joinLines } from '../join-lines.ts'

const ERROR_BODY = Buffer.from('error')
const JSON_TYPE = 'application/json'
const JSON_HEADERS: readonly WireHeader[] = [['content-type', JSON_TYPE]]
const NO_HEADERS: readonly WireHeader[] = []
const PREDICTION_EXCEPTION = 'PredictionException'
/**
 * Error texts of V8, Node and onnxruntime when memory is used up; they have no error class for it.
 */
const MEMORY_MESSAGE =
  /array buffer allocation failed|out of memory|bad_alloc|failed to allocate memory|cannot allocate memory/i
const MEMORY_CODES = ['ERR_MEMORY_ALLOCATION_FAILED', 'ENOMEM']

/** MMS's front-end reads the worker's process id from the digits after `[PID]:`. */
export function loadedReply(modelName: string): WorkerReply {
  return { code: 200, message: `loaded model ${modelName}. [PID]:${process.pid}`, predictions: [] }
}

/**
 * An MMS worker replies to a failed load only when memory ran out. For all other errors onnxd adds
 * the code and the reason.
 */
export function loadFailedReply(thrown: unknown): WorkerReply {
  if (isMemoryError(thrown)) return { code: 507, message: 'System out of memory', predictions: [] }
  const code = thrown instanceof ServerError ? thrown.statusCode : 500
  const message = joinLines(messageOf(thrown)).trim()
  return { code, message: message || 'The model cannot be loaded', predictions: [] }
}

/** Builds the reply to a batch whose handler threw an error. */
export function predictFailedReply(thrown: unknown, requests: readonly WireRequest[]): WorkerReply {
  if (isMemoryError(thrown)) return errorReply(507, 'Out of resources', requests)
  const code = chosenCode(thrown)
  if (code === undefined) return errorReply(503, 'Prediction failed', requests)
  return errorReply(code, messageOf(thrown), requests)
}

/**
 * Builds a reply that fails the whole batch: every prediction has the code as its status and
 * `error` as its body.
 */
export function errorReply(
  code: number,
  message: string,
  requests: readonly WireRequest[],
): WorkerReply {
  const rest = { contentType: '', status: code, reason: '', headers: NO_HEADERS, body: ERROR_BODY }
  return { code, message, predictions: requests.map(({ id }) => ({ id, ...rest })) }
}

/** Builds the response to one request that fails while the other requests of its batch succeed. */
export function errorPrediction(id: string, error: ServerError): WirePrediction {
  return jsonPrediction(id, error.statusCode, error.toBody())
}

export function jsonPrediction(id: string, status: number, value: unknown): WirePrediction {
  const body = Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
  return { id, contentType: JSON_TYPE, status, reason: '', headers: JSON_HEADERS, body }
}

/** Replaces every body longer than `maxBytes` with an error response. */
export function withinLimit<T extends WorkerReply>(reply: T, maxBytes: number): T {
  if (reply.predictions.every(({ body }) => body.length <= maxBytes)) return reply
  const predictions = reply.predictions.map((prediction) => {
    if (prediction.body.length <= maxBytes) return prediction
    const message = `The response has ${prediction.body.length} bytes, more than the limit of ${maxBytes} (maxResponseBytes).`
    return errorPrediction(prediction.id, new ServerError('InsufficientMemoryException', message))
  })
  return { ...reply, predictions }
}

/** Whether an error means that memory ran out. */
export function isMemoryError(thrown: unknown): boolean {
  if (thrown instanceof ServerError) return thrown.type === 'InsufficientMemoryException'
  if (!(thrown instanceof Error)) return false
  if (MEMORY_MESSAGE.test(thrown.message)) return true
  return 'code' in thrown && MEMORY_CODES.includes(String(thrown.code))
}

/**
 * Returns the code that the thrown error contains, or `undefined`. Only 400 to 999 are accepted,
 * because an error must not become a success.
 */
export function chosenCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error)) return undefined
  if ('statusCode' in thrown) return asCode(thrown.statusCode)
  if (thrown.name !== PREDICTION_EXCEPTION) return undefined
  return asCode('code' in thrown ? thrown.code : undefined) ?? 500
}

function asCode(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 400 && value <= 999
    ? value
    : undefined
}
