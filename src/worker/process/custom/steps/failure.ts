/** Errors of the steps of a handler: each fails one request. */
import { ServerError, messageOf } from '../../../../errors.ts'
import type { WirePrediction } from '../../../wire/messages.ts'
import { chosenCode, isMemoryError } from '../../loop/replies.ts'
import { errorPredictionFor } from '../../onnx/prediction.ts'
import { reportError } from '../../report-error.ts'
import type { StepRequest } from './request.ts'

/** The steps by their names. */
export type Step = 'preprocess' | 'infer' | 'postprocess'

/**
 * The response to a request whose step failed. An error that says its status is meant for the
 * client; any other is a mistake of the handler, which the log has in full.
 */
export function failed(request: StepRequest, step: Step, thrown: unknown): WirePrediction {
  const { dialect } = request.requestHeaders
  return errorPredictionFor(request.id, clientError(step, thrown), dialect)
}

function clientError(step: Step, thrown: unknown): ServerError {
  if (thrown instanceof ServerError) return thrown
  const code = chosenCode(thrown)
  if (code !== undefined && code < 600) {
    const type = code < 500 ? 'InvalidInputException' : 'InternalServerException'
    return new ServerError(type, messageOf(thrown), { statusCode: code })
  }
  reportError(`The step ${step} failed`, thrown)
  if (isMemoryError(thrown)) {
    const text = 'The worker does not have enough memory for this request or its response.'
    return new ServerError('InsufficientMemoryException', text)
  }
  return new ServerError('InternalServerException', `The handler failed in ${step}.`)
}
