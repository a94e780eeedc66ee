import { ServerError } from '../../../../errors.ts'

/** Returns the error for a `task` that the model does not suit. */
export function invalidTask(problem: string): ServerError {
  return new ServerError('InvalidModelException', `model.json: "task": ${problem}.`)
}
