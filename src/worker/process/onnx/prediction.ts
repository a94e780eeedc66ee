/** Answers to single requests, errors included: the one place that knows how they look. */
import type { Dialect } from '../../../contract/internal-headers.ts'
import { ServerError } from '../../../errors.ts'
import type { WireHeader, WirePrediction } from '../../wire/messages.ts'
import { isMemoryError } from '../loop/replies.ts'
import { reportError } from '../report-error.ts'
import { UnsupportedCodingError } from './content-coding.ts'

export const JSON_TYPE = 'application/json'

export function prediction(
  id: string,
  status: number,
  contentType: string,
  body: Buffer,
  headers: readonly WireHeader[] = [],
): WirePrediction {
  return { id, contentType, status, reason: '', headers, body }
}

export function jsonPrediction(id: string, status: number, body: Buffer): WirePrediction {
  return prediction(id, status, JSON_TYPE, body)
}

/**
 * `{code, type, message}`, as the front-end's own errors look, or the `{error}` of the dialects of KServe, whose
 * clients take nothing else. Memory that ran out beside the run of the model is 507 as in the run. Whatever else is
 * not a {@link ServerError} is a bug: the caller learns nothing of it, the log everything.
 */
export function errorPrediction(
  id: string,
  thrown: unknown,
  dialect: Dialect | undefined,
): WirePrediction {
  const error = thrown instanceof ServerError ? thrown : unexpectedError(thrown)
  const headers = error instanceof UnsupportedCodingError ? error.headers : []
  const body =
    dialect === undefined
      ? prettyJson(error.toBody())
      : Buffer.from(JSON.stringify({ error: error.message }))
  return prediction(id, error.statusCode, JSON_TYPE, body, headers)
}

/** Indented by two, with a newline at the end. */
export function prettyJson(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
}

function unexpectedError(thrown: unknown): ServerError {
  reportError('A request could not be handled', thrown)
  if (isMemoryError(thrown)) {
    const text = 'The worker has too little memory for this request or its response.'
    return new ServerError('InsufficientMemoryException', text, { cause: thrown })
  }
  return new ServerError('InternalServerException', 'The request could not be handled.', {
    cause: thrown,
  })
}
