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
import type { OutputForm } from './output-form.ts'
import { readProtocolRequest } from './request.ts'
import type { Parameters, ProtocolOutput } from './request.ts'
import { protocolPrediction, writeProtocolResponse } from './response.ts'

const BYTES_WORD = Buffer.from('"BYTES"')

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

/** How such requests come and go. */
export interface NamedTransport {
  /** Whether a request has an input of the datatype BYTES. */
  hasTexts(request: WireRequest, headers: RequestHeaders): boolean
  /**
   * Opens a request.
   * @param specs The inputs that it may have; none is required.
   * @throws ServerError 400
   */
  open(
    request: WireRequest,
    headers: RequestHeaders,
    specs: readonly TensorSpec[],
    model: NamedModel,
  ): NamedRequest
}

/** The model that the response names, and the limits of its codecs. */
export interface NamedModel {
  readonly metadata: ModelMetadata
  readonly limits: CodecLimits
}

/** Requests over HTTP. */
export const HTTP_TRANSPORT: NamedTransport = {
  hasTexts: (request, { jsonLength }) => {
    const body = bodyOf(request)
    const json = jsonLength === undefined ? body : body.subarray(0, Number(jsonLength))
    return json.includes(BYTES_WORD)
  },
  open: (request, { jsonLength: givenLength, acceptEncoding }, specs, { metadata, limits }) => {
    const body = bodyOf(request)
    const jsonLength = parseJsonLength(givenLength, body.length)
    const inputs = new InputSet(new InputTable(specs))
    const asked = readProtocolRequest(openJson(body.subarray(0, jsonLength), limits), inputs)
    addTensors(asked.inputs, body.subarray(jsonLength), inputs)
    return {
      inputs: namedInputs(
        asked.inputs.map(({ spec }) => spec.name),
        inputs,
      ),
      parameters: asked.parameters,
      outputNames: asked.outputs.map(({ name }) => name),
      respond: (outputs, headers) => {
        const { forms, tensors } = chooseNamed(
          outputs,
          asked.outputs,
          wantsBinary(asked.parameters),
        )
        const { maxResponseBytes } = limits
        const written = writeProtocolResponse(metadata, asked.id, forms, tensors, maxResponseBytes)
        return encodeBody(
          protocolPrediction(request.id, written, headers),
          chooseCoding(acceptEncoding),
        )
      },
    }
  },
}

/** The tensors of the inputs that a request has. */
export function namedInputs(names: readonly string[], inputs: InputSet): readonly NamedTensor[] {
  return names.flatMap((name) => {
    const tensor = inputs.given(name)
    return tensor === undefined ? [] : [{ name, tensor }]
  })
}

/**
 * The outputs that a request wants, with their forms.
 * @param isBinary The form of all outputs if the request names none.
 * @throws ServerError 400 if it names one that is not there.
 */
export function chooseNamed(
  outputs: readonly NamedTensor[],
  wanted: readonly ProtocolOutput[],
  isBinary: boolean,
): { readonly forms: readonly OutputForm[]; readonly tensors: readonly Tensor[] } {
  const table = new OutputTable(outputs.map(specOf))
  table.choose(wanted)
  const forms =
    wanted.length === 0
      ? allOutputs(table.specs, isBinary)
      : wanted.map((output) => formOfOutput(output, table.specOf(output.name)))
  const ranked = forms.find(({ classes }) => classes > 0)
  if (ranked !== undefined) {
    throw new ServerError(
      'InvalidInputException',
      `Output ${quote(ranked.name)}: "classification" is for tensors; use the parameter "top_k".`,
    )
  }
  const tensors = forms.flatMap((form) =>
    outputs.filter(({ name }) => name === form.name).map(({ tensor }) => tensor),
  )
  return { forms, tensors }
}

function bodyOf({ parameters }: WireRequest): Buffer {
  return parameters.find(({ name }) => name === BODY)?.value ?? Buffer.alloc(0)
}

function specOf({ name, tensor }: NamedTensor): TensorSpec {
  const { datatype, shape } = tensor
  return { name, datatype, shape, dimensions: shape }
}
