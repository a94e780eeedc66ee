/**
 * Requests of the Open Inference Protocol for a task that is not the run of the model: their inputs
 * and outputs have names of the task.
 */
import { ServerError } from '../../../../errors.ts'
import type { WireHeader, WirePrediction, WireRequest } from '../../../wire/messages.ts'
import { BODY } from '../codec.ts'
import type { CodecLimits } from '../codec.ts'
import { chooseCoding, encodeBody } from '../content-coding.ts'
import type { RequestHeaders } from '../headers.ts'
import { openJson } from '../json/open.ts'
import { quote } from '../tensors/error-text.ts'
import { InputSet, InputTable } from '../tensors/inputs.ts'
import type { ModelMetadata, TensorSpec } from '../tensors/metadata.ts'
import { OutputTable } from '../tensors/outputs.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { addTensors, parseJsonLength } from './binary-request.ts'
import { allOutputs, formOfOutput, wantsBinary } from './output-form.ts'
import { readProtocolRequest } from './request.ts'
import type { Parameters } from './request.ts'
import { protocolPrediction, writeProtocolResponse } from './response.ts'

/** A tensor with its name in a request or response. */
export interface NamedTensor {
  readonly name: string
  readonly tensor: Tensor
}

/** A request, and how to respond to it. */
export interface NamedRequest {
  readonly inputs: readonly NamedTensor[]
  readonly parameters: Parameters
  /** Names of the outputs that the request wants; none for those that the task prefers. */
  readonly outputNames: readonly string[]
  /**
   * Writes the outputs in the form that the request wants.
   * @throws ServerError 400 if an output that the request names is not among them, 507 if the
   * response is too large.
   */
  respond(outputs: readonly NamedTensor[], headers: readonly WireHeader[]): WirePrediction
}

/**
 * Opens a request.
 * @param specs The inputs that it may have; none is required.
 * @throws ServerError 400
 */
export function openNamedTensors(
  request: WireRequest,
  { jsonLength: givenLength, acceptEncoding }: RequestHeaders,
  specs: readonly TensorSpec[],
  model: ModelMetadata,
  limits: CodecLimits,
): NamedRequest {
  const body = request.parameters.find(({ name }) => name === BODY)?.value ?? Buffer.alloc(0)
  const jsonLength = parseJsonLength(givenLength, body.length)
  const inputs = new InputSet(new InputTable(specs))
  const asked = readProtocolRequest(openJson(body.subarray(0, jsonLength), limits), inputs)
  addTensors(asked.inputs, body.subarray(jsonLength), inputs)
  return {
    inputs: asked.inputs.flatMap(({ spec: { name } }) => {
      const tensor = inputs.given(name)
      return tensor === undefined ? [] : [{ name, tensor }]
    }),
    parameters: asked.parameters,
    outputNames: asked.outputs.map(({ name }) => name),
    respond: (outputs, headers) => {
      const table = new OutputTable(outputs.map(specOf))
      table.choose(asked.outputs)
      const forms =
        asked.outputs.length === 0
          ? allOutputs(outputs.map(specOf), wantsBinary(asked.parameters))
          : asked.outputs.map((output) => formOfOutput(output, table.specOf(output.name)))
      const chosen = forms.flatMap((form) =>
        outputs.filter(({ name }) => name === form.name).map(({ tensor }) => tensor),
      )
      const ranked = forms.find(({ classes }) => classes > 0)
      if (ranked !== undefined) {
        throw new ServerError(
          'InvalidInputException',
          `Output ${quote(ranked.name)}: "classification" is for tensors; use the parameter "top_k".`,
        )
      }
      const written = writeProtocolResponse(model, asked.id, forms, chosen, limits.maxResponseBytes)
      return encodeBody(
        protocolPrediction(request.id, written, headers),
        chooseCoding(acceptEncoding),
      )
    },
  }
}

function specOf({ name, tensor }: NamedTensor): TensorSpec {
  const { datatype, shape } = tensor
  return { name, datatype, shape, dimensions: shape }
}
