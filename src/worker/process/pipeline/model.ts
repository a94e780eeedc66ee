/** A model that is a chain of other models of the server. It has no session of onnxruntime. */
import { ServerError } from '../../../errors.ts'
import type { PipelineSettings } from '../../../model-folder/pipeline-settings.ts'
import { namesOf } from '../../../model-folder/pipeline.ts'
import type { PipelineNames } from '../../../model-folder/pipeline.ts'
import type { WirePrediction, WireRequest, WorkerReply } from '../../wire/messages.ts'
import { ServerCalls } from '../custom/server-calls.ts'
import type { LoadContext, LoadedModel, WorkerOptions } from '../handler.ts'
import { jsonPrediction as describedPrediction } from '../loop/replies.ts'
import { BODY } from '../onnx/codec.ts'
import { decodeBody } from '../onnx/content-coding.ts'
import { JSON_LENGTH_HEADER, readHeaders } from '../onnx/headers.ts'
import type { RequestHeaders } from '../onnx/headers.ts'
import { responseTooLarge } from '../onnx/json/writer.ts'
import { rawOf, readRawResponse, tensorOf, writeRawRequest } from '../onnx/oip/raw-tensors.ts'
import type { RawTensor } from '../onnx/oip/raw-tensors.ts'
import { errorPredictionFor, jsonPrediction } from '../onnx/prediction.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import type { Tensor } from '../onnx/tensors/tensor.ts'
import { reportError } from '../report-error.ts'
import { OPEN_INFERENCE, PREDICTIONS } from './json-formats.ts'
import type { JsonFormat } from './json-formats.ts'
import { PresentTypes } from './pipeline-types.ts'
import type { PipelineTypes } from './pipeline-types.ts'
import { asServerError, checkStatus, runSteps } from './run-steps.ts'
import type { RunStep } from './run-steps.ts'
import type { TypedPipeline } from './typed-pipeline.ts'

const NO_BODY = Buffer.alloc(0)

/** @throws ServerError `InvalidModelException` if the steps do not fit together. */
export function loadPipeline(pipeline: PipelineSettings, context: LoadContext): LoadedModel {
  if (context.options.calls === 0) {
    const text = 'A pipeline can be served by the front-end of onnxd only.'
    throw new ServerError('InvalidModelException', text)
  }
  return new PipelineModel(pipeline, context)
}

class PipelineModel implements LoadedModel {
  readonly needsEventLoop = true
  readonly #pipeline: PipelineSettings
  readonly #names: PipelineNames
  readonly #name: string
  readonly #options: WorkerOptions
  readonly #calls: ServerCalls
  readonly #types: PresentTypes

  constructor(pipeline: PipelineSettings, { modelName, options }: LoadContext) {
    this.#pipeline = pipeline
    this.#names = namesOf(pipeline)
    this.#name = modelName
    this.#options = options
    this.#calls = new ServerCalls(options)
    this.#types = new PresentTypes(this.#calls, options, (...run) => this.#runTensors(...run))
  }

  /** The requests of a batch run at the same time, each for itself. */
  async predict(requests: readonly WireRequest[]): Promise<WorkerReply> {
    const types = this.#types.get()
    const predictions = await Promise.all(requests.map((request) => this.#answer(request, types)))
    return { code: 200, message: 'Prediction success', predictions }
  }

  close(): void {}

  async #answer(request: WireRequest, asked: Promise<PipelineTypes>): Promise<WirePrediction> {
    const headers = readHeaders(request.headers)
    const { dialect, describe } = headers
    try {
      const types = await asked
      if (describe && dialect === undefined)
        return describedPrediction(request.id, 200, types.description)
      if (types.problem !== undefined)
        throw new ServerError('InternalServerException', types.problem)
      const { maxBodyBytes } = this.#options
      const plain = decodeBody(request, headers, maxBodyBytes)
      const { typed } = types
      return await (typed === undefined
        ? this.#answerJson(plain, headers, types.jsonOnly)
        : this.#answerTyped(plain, headers, typed))
    } catch (thrown) {
      const error = asServerError(thrown)
      if (error.statusCode >= 500) reportError('The pipeline failed', error)
      const prediction = errorPredictionFor(request.id, error, dialect)
      const { retryAfterSeconds: seconds } = error
      if (seconds === undefined) return prediction
      return { ...prediction, headers: [...prediction.headers, ['Retry-After', String(seconds)]] }
    }
  }

  async #answerTyped(
    request: WireRequest,
    headers: RequestHeaders,
    typed: TypedPipeline,
  ): Promise<WirePrediction> {
    const { decoded, specs } = await typed.decode(request, headers)
    const outputs = typed.outputs(decoded.outputNames)
    return decoded.encode(await this.#runTensors(request.id, specs, decoded.inputs, outputs))
  }

  async #runTensors(
    id: string,
    specs: readonly TensorSpec[],
    inputs: readonly Tensor[],
    outputs: readonly TensorSpec[],
  ): Promise<readonly Tensor[]> {
    const given = new Map<string, RawTensor>()
    for (const [index, spec] of specs.entries()) {
      const tensor = inputs[index]
      if (tensor !== undefined) given.set(spec.name, rawOf(tensor, spec))
    }
    const values = await runSteps(this.#pipeline.steps, given, this.#tensorStep(id))
    return outputs.map((spec) => {
      const value = values.get(spec.name)
      if (value === undefined) throw new TypeError('an output without a value')
      return tensorOf(spec, value)
    })
  }

  #tensorStep(served: string): RunStep<RawTensor> {
    return async ({ model, version, outputs }, inputs) => {
      const { body, jsonLength } = writeRawRequest(inputs, Object.keys(outputs))
      const response = await this.#calls.send({
        served,
        model,
        version,
        protocol: 'v2',
        headers: [[JSON_LENGTH_HEADER, String(jsonLength)]],
        parameters: [{ name: BODY, contentType: 'application/octet-stream', value: body }],
      })
      checkStatus(response)
      return readRawResponse(response.body, readHeaders(response.headers).jsonLength)
    }
  }

  async #answerJson(
    request: WireRequest,
    { dialect, jsonLength }: RequestHeaders,
    reason = '',
  ): Promise<WirePrediction> {
    const isJson = (dialect === undefined || dialect === 'v2') && jsonLength === undefined
    if (!isJson)
      throw invalid(`The pipeline takes only JSON at /predictions and at /v2. ${reason}`.trim())
    const format = dialect === undefined ? PREDICTIONS : OPEN_INFERENCE
    const body = request.parameters.find(({ name }) => name === BODY)?.value ?? NO_BODY
    const asked = format.readInputs(body, this.#options)
    this.#checkNames([...asked.inputs.keys()], asked.outputs)
    const values = await runSteps(
      this.#pipeline.steps,
      asked.inputs,
      this.#jsonStep(request.id, format),
    )
    const names = asked.outputs.length === 0 ? this.#names.outputs : asked.outputs
    const outputs = new Map(names.map((name) => [name, values.get(name) ?? NO_BODY]))
    const identity = { name: this.#name, version: this.#options.modelVersion }
    const written = format.writeOutputs(outputs, asked, identity)
    const { maxResponseBytes } = this.#options
    if (written.length > maxResponseBytes) throw responseTooLarge(maxResponseBytes)
    return jsonPrediction(request.id, 200, written)
  }

  #jsonStep(served: string, format: JsonFormat): RunStep<Buffer> {
    return async ({ model, version, outputs }, inputs) => {
      const value = format.writeInputs(inputs, Object.keys(outputs))
      const parameters = [{ name: BODY, contentType: 'application/json', value }]
      const { protocol } = format
      const response = await this.#calls.send({ served, model, version, protocol, parameters })
      checkStatus(response)
      return format.readOutputs(response.body, this.#options)
    }
  }

  #checkNames(given: readonly string[], wanted: readonly string[]): void {
    const { inputs, outputs } = this.#names
    const missing = inputs.find((name) => !given.includes(name))
    const unknown = given.find((name) => !inputs.includes(name))
    if (missing !== undefined || unknown !== undefined) {
      const what = missing === undefined ? `no input "${unknown}"` : `an input "${missing}"`
      throw invalid(`The pipeline has ${what}. Its inputs are: ${inputs.join(', ')}.`)
    }
    const strange = wanted.find((name) => !outputs.includes(name))
    if (strange === undefined) return
    throw invalid(
      `The pipeline has no output "${strange}". Its outputs are: ${outputs.join(', ')}.`,
    )
  }
}

function invalid(text: string): ServerError {
  return new ServerError('InvalidInputException', text)
}
