/** Runs the steps of a pipeline, each as soon as its inputs are there. */
import { ERROR_TYPES, ServerError, messageOf } from '../../../errors.ts'
import type { ErrorType } from '../../../errors.ts'
import type { PipelineSettings } from '../../../model-folder/pipeline-settings.ts'
import type { WirePrediction } from '../../wire/messages.ts'
import { PredictionException } from '../custom/prediction-exception.ts'
import { errorText } from '../custom/server-calls.ts'

export type Step = PipelineSettings['steps'][number]

/** Calls the model of a step. Inputs and outputs have the names of the model. */
export type RunStep<Value> = (
  step: Step,
  inputs: ReadonlyMap<string, Value>,
) => Promise<ReadonlyMap<string, Value>>

/** Types for the statuses of responses, where several types have the same status. */
const USUAL_TYPES: readonly ErrorType[] = [
  'InvalidInputException',
  'ModelNotFoundException',
  'InsufficientMemoryException',
]

/**
 * @param inputs The inputs of the pipeline by name.
 * @returns All tensors of the pipeline by name.
 * @throws ServerError of the first step in their order that failed, with its name.
 */
export async function runSteps<Value>(
  steps: readonly Step[],
  inputs: ReadonlyMap<string, Value>,
  run: RunStep<Value>,
): Promise<ReadonlyMap<string, Value>> {
  const values = new Map<string, Promise<Value>>()
  for (const [name, value] of inputs) values.set(name, Promise.resolve(value))
  const runs = steps.map((step, index) => {
    const made = runStep(step, index, values, run)
    for (const name of Object.values(step.outputs)) {
      const value = made.then((outputs) => outputs.get(name) as Value)
      // A failure is reported for the step that made it.
      value.catch(() => {})
      values.set(name, value)
    }
    made.catch(() => {})
    return made
  })
  const all = new Map(inputs)
  for (const made of runs) for (const [name, value] of await made) all.set(name, value)
  return all
}

/** Returns the outputs under their names in the pipeline. */
async function runStep<Value>(
  step: Step,
  index: number,
  values: ReadonlyMap<string, Promise<Value>>,
  run: RunStep<Value>,
): Promise<ReadonlyMap<string, Value>> {
  const inputs = new Map<string, Value>()
  for (const [theirs, ours] of Object.entries(step.inputs)) {
    const value = values.get(ours)
    if (value !== undefined) inputs.set(theirs, await value)
  }
  try {
    const outputs = await run(step, inputs)
    return new Map(
      Object.entries(step.outputs).map(([theirs, ours]): [string, Value] => {
        const value = outputs.get(theirs)
        if (value !== undefined) return [ours, value]
        const text = `its response has no output "${theirs}"`
        throw new ServerError('InternalServerException', text)
      }),
    )
  } catch (thrown) {
    const { type, statusCode, message, retryAfterSeconds } = asServerError(thrown)
    const text = `Step ${index + 1} (model ${step.model}): ${message}`
    const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds }
    throw new ServerError(type, text, { statusCode, cause: thrown, ...retry })
  }
}

/** @throws ServerError for a response that is an error. */
export function checkStatus(response: WirePrediction): void {
  const { status, body, headers } = response
  if (status < 400) return
  const seconds = Number(headers.find(([name]) => name.toLowerCase() === 'retry-after')?.[1])
  const retry = Number.isFinite(seconds) ? { retryAfterSeconds: seconds } : {}
  throw new ServerError(typeOf(status), errorText(body), { statusCode: status, ...retry })
}

export function asServerError(thrown: unknown): ServerError {
  if (thrown instanceof ServerError) return thrown
  const statusCode = thrown instanceof PredictionException ? thrown.code : 500
  return new ServerError(typeOf(statusCode), messageOf(thrown), { statusCode })
}

function typeOf(status: number): ErrorType {
  const usual = USUAL_TYPES.find((type) => ERROR_TYPES[type] === status)
  if (usual !== undefined) return usual
  const types = Object.keys(ERROR_TYPES) as ErrorType[]
  return types.find((type) => ERROR_TYPES[type] === status) ?? 'InternalServerException'
}
