import { ServerError } from '../errors.ts'

/** The answer when no worker can take a request; `failure` is what the last worker died of, if the model has failed. */
export function unavailable(modelName: string, failure: string | undefined): ServerError {
  const text =
    failure === undefined
      ? `No worker is available to serve request for model: ${modelName}. Consider increasing job queue size.`
      : `Model ${modelName} has failed: its workers keep dying. ${failure}`.trim()
  const retryAfterSeconds = failure === undefined ? 1 : 60
  return new ServerError('ServiceUnavailableException', text, { retryAfterSeconds })
}
