import { ServerError } from '../errors.ts'

/** Seconds until a model that has failed is tried again. */
const RETRY_FAILED_SECONDS = 60

/** The answer when no worker can take a request: too many wait, or no worker is there. */
export function overloaded(
  modelName: string,
  retryAfterSeconds: number,
  statusCode: number,
): ServerError {
  const text = `No worker is available to serve request for model: ${modelName}. Consider increasing job queue size.`
  return new ServerError('ServiceUnavailableException', text, { retryAfterSeconds, statusCode })
}

/**
 * The answer to a request that no worker took in time.
 * @param limitMs What the server allows any request, where that was over; else it was the request's own time.
 */
export function outOfTime(
  modelName: string,
  retryAfterSeconds: number,
  limitMs: number | undefined,
): ServerError {
  const time =
    limitMs === undefined
      ? 'the time that it allows.'
      : `${limitMs / 1000} s, the longest that a request may wait. Try again later; if it lasts, the model needs more workers.`
  const text = `No worker could take the request for model ${modelName} within ${time}`
  return new ServerError('ServiceUnavailableException', text, { retryAfterSeconds })
}

/** The rejection of a body that crashed two workers. */
export function crashing(modelName: string, retryAfterSeconds: number): ServerError {
  const text = `This request has crashed two workers of model ${modelName}. It is rejected for ${retryAfterSeconds} s.`
  return new ServerError('CrashingRequestException', text, { retryAfterSeconds })
}

/** The answer while a model has failed; `failure` is what its last worker died of. */
export function failed(modelName: string, failure: string): ServerError {
  const text = `Model ${modelName} has failed: its workers keep dying. ${failure}`.trim()
  return new ServerError('ServiceUnavailableException', text, {
    retryAfterSeconds: RETRY_FAILED_SECONDS,
  })
}
