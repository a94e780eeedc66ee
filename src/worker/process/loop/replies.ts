/** The original's replies (MMS worker protocol, section 2.3), and what onnxd says where it says nothing. */
import { ServerError, messageOf } from '../../../errors.ts'
import type { WireHeader, WirePrediction, WireRequest, WorkerReply } from '../../wire/messages.ts'
import { oneLine } from '../one-line.ts'

const ERROR_BODY = Buffer.from('error')
const JSON_TYPE = 'application/json'
const JSON_HEADERS: readonly WireHeader[] = [['content-type', JSON_TYPE]]
const NO_HEADERS: readonly WireHeader[] = []
const PREDICTION_EXCEPTION = 'PredictionException'
/** What V8, Node and onnxruntime say when there is no memory; none of them has an error class for it. */
const MEMORY_MESSAGE =
  /array buffer allocation failed|out of memory|bad_alloc|failed to allocate memory|cannot allocate memory/i
const MEMORY_CODES = ['ERR_MEMORY_ALLOCATION_FAILED', 'ENOMEM']

/** The original's front-end takes the digits behind `[PID]:` as the worker's process id. */
export function loadedReply(modelName: string): WorkerReply {
  return { code: 200, message: `loaded model ${modelName}. [PID]:${process.pid}`, predictions: [] }
}

/** The original answers only when memory ran out; every other reason is onnxd's addition. */
export function loadFailedReply(thrown: unknown): WorkerReply {
  if (isMemoryError(thrown)) return { code: 507, message: 'System out of memory', predictions: [] }
  const code = thrown instanceof ServerError ? thrown.statusCode : 500
  const message = oneLine(messageOf(thrown)).trim()
  return { code, message: message || 'The model cannot be loaded', predictions: [] }
}

/** The reply to a batch whose handler threw. */
export function predictFailedReply(thrown: unknown, requests: readonly WireRequest[]): WorkerReply {
  if (isMemoryError(thrown)) return errorReply(507, 'Out of resources', requests)
  const code = chosenCode(thrown)
  if (code === undefined) return errorReply(503, 'Prediction failed', requests)
  return errorReply(code, messageOf(thrown), requests)
}

/** A reply that fails the whole batch: every prediction has the code as status, and the body `error`. */
export function errorReply(
  code: number,
  message: string,
  requests: readonly WireRequest[],
): WorkerReply {
  const rest = { contentType: '', status: code, reason: '', headers: NO_HEADERS, body: ERROR_BODY }
  return { code, message, predictions: requests.map(({ id }) => ({ id, ...rest })) }
}

/** The answer to one request of a batch that cannot be served while its neighbours can. */
export function errorPrediction(id: string, error: ServerError): WirePrediction {
  return jsonPrediction(id, error.statusCode, error.toBody())
}

export function jsonPrediction(id: string, status: number, value: unknown): WirePrediction {
  const body = Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
  return { id, contentType: JSON_TYPE, status, reason: '', headers: JSON_HEADERS, body }
}

/** The reply with every body above `maxBytes` replaced by an error of its own. */
export function withinLimit(reply: WorkerReply, maxBytes: number): WorkerReply {
  if (reply.predictions.every(({ body }) => body.length <= maxBytes)) return reply
  const predictions = reply.predictions.map((prediction) => {
    if (prediction.body.length <= maxBytes) return prediction
    const message = `The answer has ${prediction.body.length} bytes; ${maxBytes} are allowed.`
    return errorPrediction(prediction.id, new ServerError('InsufficientMemoryException', message))
  })
  return { ...reply, predictions }
}

/** Whether something was thrown because memory ran out. */
export function isMemoryError(thrown: unknown): boolean {
  if (thrown instanceof ServerError) return thrown.type === 'InsufficientMemoryException'
  if (!(thrown instanceof Error)) return false
  if (MEMORY_MESSAGE.test(thrown.message)) return true
  return 'code' in thrown && MEMORY_CODES.includes(String(thrown.code))
}

/** The code that the thrower chose, `undefined` for any other error. No failure is a success, whatever its code. */
function chosenCode(thrown: unknown): number | undefined {
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
