/** Builds responses to single requests, and is the only place that knows the format of errors. */
import { errorBodyFor } from '../../../contract/error-bodies.ts'
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
 * Builds an error response: `{code, type, message}` like the front-end's own errors, or in the form
 * of the dialect. Memory that runs out outside the
 * model's run gives 507, as it does during the run. Any other error that is not a {@link
 * ServerError} is a bug: the log gets all details, the client none.
 */
export function errorPredictionFor(
  id: string,
  thrown: unknown,
  dialect: Dialect | undefined,
): WirePrediction {
  const error = thrown instanceof ServerError ? thrown : unexpectedError(thrown)
  const headers = error instanceof UnsupportedCodingError ? error.headers : []
  const body =
    dialect === undefined
      ? prettyJson(error.toBody())
      : Buffer.from(JSON.stringify(errorBodyFor(error, dialect)))
  return prediction(id, error.statusCode, JSON_TYPE, body, headers)
}

/** JSON with an indentation of two spaces and a newline at the end. */
export function prettyJson(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
}

function unexpectedError(thrown: unknown): ServerError {
  reportError('A request could not be handled', thrown)
  if (isMemoryError(thrown)) {
    const text = 'The worker does not have enough memory for this request or its response.'
    return new ServerError('InsufficientMemoryException', text, { cause: thrown })
  }
  return new ServerError('InternalServerException', 'The request could not be handled.', {
    cause: thrown,
  })
}
