/** A model that is a chain of other models of the server. It has no session of onnxruntime. */
import { errorBodyFor } from '../../../contract/error-bodies.ts'
import { DIALECT_HEADER } from '../../../contract/internal-headers.ts'
import { ServerError, messageOf } from '../../../errors.ts'
import type { PipelineSettings } from '../../../model-folder/pipeline-settings.ts'
import { namesOf } from '../../../model-folder/pipeline.ts'
import type { PipelineNames } from '../../../model-folder/pipeline.ts'
import type { WirePrediction, WireRequest, WorkerReply } from '../../wire/messages.ts'
import { parseJson } from '../custom/json-input.ts'
import { PredictionException } from '../custom/prediction-exception.ts'
import { ServerCalls } from '../custom/server-calls.ts'
import type { LoadContext, LoadedModel, WorkerOptions } from '../handler.ts'
import { jsonPrediction } from '../loop/replies.ts'
import { reportError } from '../report-error.ts'
import { OPEN_INFERENCE, PREDICTIONS } from './formats.ts'
import type { ModelIdentity, PipelineFormat, Values } from './formats.ts'

const BINARY_HEADER = 'inference-header-content-length'

/** @throws ServerError `InvalidModelException` if the steps do not fit together. */
export function loadPipeline(pipeline: PipelineSettings, context: LoadContext): LoadedModel {
  const { options, modelName } = context
  if (options.calls === 0) {
    const text = 'A pipeline can be served by the front-end of onnxd only.'
    throw new ServerError('InvalidModelException', text)
  }
  const identity = { name: modelName, version: options.modelVersion }
  return new PipelineModel(pipeline, identity, new ServerCalls(options.calls), options)
}

class PipelineModel implements LoadedModel {
  readonly needsEventLoop = true
  readonly #pipeline: PipelineSettings
  readonly #names: PipelineNames
  readonly #identity: ModelIdentity
  readonly #calls: ServerCalls
  readonly #limits: Pick<WorkerOptions, 'maxJsonBytes' | 'maxJsonDepth'>

  constructor(
    pipeline: PipelineSettings,
    identity: ModelIdentity,
    calls: ServerCalls,
    limits: Pick<WorkerOptions, 'maxJsonBytes' | 'maxJsonDepth'>,
  ) {
    this.#pipeline = pipeline
    this.#names = namesOf(pipeline)
    this.#identity = identity
    this.#calls = calls
    this.#limits = limits
  }

  /** The requests of a batch run at the same time, each for itself. */
  async predict(requests: readonly WireRequest[]): Promise<WorkerReply> {
    const predictions = await Promise.all(requests.map((request) => this.#answer(request)))
    return { code: 200, message: 'Prediction success', predictions }
  }

  close(): void {}

  async #answer(request: WireRequest): Promise<WirePrediction> {
    const dialect = headerOf(request, DIALECT_HEADER)
    try {
      if (headerOf(request, 'describe') === 'True')
        return jsonPrediction(request.id, 200, this.#description)
      const format = formatOf(request, dialect)
      return jsonPrediction(request.id, 200, await this.#run(request, format))
    } catch (thrown) {
      const error = asServerError(thrown)
      if (error.statusCode >= 500) reportError('The pipeline failed', error)
      const body = dialect === 'v2' ? errorBodyFor(error, 'v2') : error.toBody()
      return jsonPrediction(request.id, error.statusCode, body)
    }
  }

  async #run(request: WireRequest, format: PipelineFormat): Promise<unknown> {
    const body = parseJson(request.parameters[0]?.value ?? Buffer.alloc(0), this.#limits)
    const values = new Map(format.readInputs(body))
    this.#checkInputs(values)
    for (const [index, step] of this.#pipeline.steps.entries()) {
      try {
        for (const [name, value] of await this.#runStep(step, values, request.id, format))
          values.set(name, value)
      } catch (thrown) {
        const { statusCode, type, message } = asServerError(thrown)
        const text = `Step ${index + 1} (model ${step.model}): ${message}`
        throw new ServerError(type, text, { statusCode, cause: thrown })
      }
    }
    return format.writeOutputs(chosen(values, this.#names.outputs), body, this.#identity)
  }

  /** Returns the outputs of a step under their names in the pipeline. */
  async #runStep(
    step: PipelineSettings['steps'][number],
    values: Values,
    served: string,
    format: PipelineFormat,
  ): Promise<Values> {
    const inputs = Object.entries(step.inputs).map(([theirs, ours]): [string, unknown] => [
      theirs,
      values.get(ours),
    ])
    const { model, version = '' } = step
    const { protocol } = format
    const data = format.writeInputs(new Map(inputs), Object.keys(step.outputs))
    const options = { version, ...(protocol === 'v2' && { protocol }) }
    const outputs = format.readOutputs(await this.#calls.predict(served, model, data, options))
    return new Map(
      Object.entries(step.outputs).map(([theirs, ours]): [string, unknown] => {
        if (outputs.has(theirs)) return [ours, outputs.get(theirs)]
        const text = `its response has no output "${theirs}"`
        throw new ServerError('InternalServerException', text)
      }),
    )
  }

  #checkInputs(values: Values): void {
    const { inputs } = this.#names
    const missing = inputs.find((name) => !values.has(name))
    const unknown = [...values.keys()].find((name) => !inputs.includes(name))
    if (missing === undefined && unknown === undefined) return
    const what = missing === undefined ? `no input "${unknown}"` : `an input "${missing}"`
    const text = `The pipeline has ${what}. Its inputs are: ${inputs.join(', ')}.`
    throw new ServerError('BadRequestException', text)
  }

  get #description(): unknown {
    const { inputs, outputs } = this.#names
    const steps = this.#pipeline.steps.map(({ model, version }) => ({ model, version }))
    return { handler: 'pipeline', pipeline: { inputs, outputs, steps } }
  }
}

/** @throws ServerError `BadRequestException` for a protocol that pipelines do not accept. */
function formatOf(request: WireRequest, dialect: string | undefined): PipelineFormat {
  if (dialect === undefined) return PREDICTIONS
  const isBinary = headerOf(request, BINARY_HEADER) !== undefined
  if (dialect === 'v2' && !isBinary) return OPEN_INFERENCE
  const text = isBinary
    ? 'A pipeline accepts JSON without binary data.'
    : 'A pipeline accepts requests of /predictions and /v2.'
  throw new ServerError('BadRequestException', text)
}

function headerOf({ headers }: WireRequest, wanted: string): string | undefined {
  const lower = wanted.toLowerCase()
  return headers.findLast(([name]) => name.toLowerCase() === lower)?.[1]
}

function chosen(values: Values, names: readonly string[]): Values {
  return new Map(names.map((name) => [name, values.get(name)]))
}

function asServerError(thrown: unknown): ServerError {
  if (thrown instanceof ServerError) return thrown
  const statusCode = thrown instanceof PredictionException ? thrown.code : 500
  return new ServerError('InternalServerException', messageOf(thrown), { statusCode })
}
