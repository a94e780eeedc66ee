import type { Dialect } from '../../../../contract/internal-headers.ts'
import { ServerError } from '../../../../errors.ts'
import type {
  WireHeader,
  WireParameter,
  WirePrediction,
  WireRequest,
} from '../../../wire/messages.ts'
import { BODY } from '../codec.ts'
import type { CodecLimits, Decoded, RequestCodec } from '../codec.ts'
import { chooseCoding, encodeBody } from '../content-coding.ts'
import type { Coding } from '../content-coding.ts'
import { JSON_LENGTH_HEADER } from '../headers.ts'
import type { RequestHeaders } from '../headers.ts'
import { openJson } from '../json/open.ts'
import { contentKind, looksLikeJson } from '../predictions/media-type.ts'
import { quote } from '../tensors/error-text.ts'
import { InputSet, InputTable } from '../tensors/inputs.ts'
import type { ModelMetadata, TensorSpec } from '../tensors/metadata.ts'
import { OutputTable } from '../tensors/outputs.ts'
import { parseShape } from '../tensors/raw-bytes.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { addTensors, parseJsonLength, tensorFromRawBody } from './binary-request.ts'
import { classify, rowsHeader } from './call-parts.ts'
import { allOutputs, formOfOutput, wantsBinary } from './output-form.ts'
import type { OutputForm } from './output-form.ts'
import { readProtocolRequest } from './request.ts'
import type { ProtocolRequest } from './request.ts'
import { protocolPrediction, writeProtocolResponse } from './response.ts'

const NO_BODY = Buffer.alloc(0)
const NO_HEADERS: readonly WireHeader[] = []

const TABLES: ReadonlySet<string> = new Set(['csv', 'lines', 'npz', 'parquet', 'numpy'])

/** @throws ServerError 415 for a body that is declared as a table and is no JSON */
function refuseTable({ contentType, value }: WireParameter): void {
  if (!TABLES.has(contentKind(contentType)) || looksLikeJson(value)) return
  throw new ServerError(
    'UnsupportedMediaTypeException',
    `The Open Inference Protocol has no tables (${contentType}). Send them to /predictions/{model} or /v1/models/{model}:predict, or send the inputs as JSON.`,
  )
}

/**
 * The Open Inference Protocol with its binary tensor data extension. The media type of the body is
 * ignored: tritonclient sends none, and curl declares JSON as a form.
 */
export class ProtocolCodec implements RequestCodec {
  readonly #model: ModelMetadata
  readonly #limits: CodecLimits
  readonly #inputs: InputTable
  readonly #outputs: OutputTable
  readonly #allJson: readonly OutputForm[]
  readonly #allBinary: readonly OutputForm[]

  constructor(model: ModelMetadata, limits: CodecLimits) {
    this.#model = model
    this.#limits = limits
    this.#inputs = new InputTable(model.inputs)
    this.#outputs = new OutputTable(model.outputs)
    this.#allJson = allOutputs(model.outputs, false)
    this.#allBinary = allOutputs(model.outputs, true)
  }

  decode(request: WireRequest, headers: RequestHeaders): Decoded {
    const { id } = request
    const parameter = request.parameters.find(({ name }) => name === BODY)
    const body = parameter?.value ?? NO_BODY
    if (parameter !== undefined && headers.jsonLength === undefined) refuseTable(parameter)
    const jsonLength = parseJsonLength(headers.jsonLength, body.length)
    if (headers.jsonLength !== undefined && jsonLength === 0) {
      return this.#call(
        { id, inputs: [this.#readRaw(body, headers)], forms: this.#allBinary },
        headers,
      )
    }
    const json = openJson(body.subarray(0, jsonLength), this.#limits)
    const inputs = new InputSet(this.#inputs)
    const question = readProtocolRequest(json, inputs)
    const forms = this.#chooseOutputs(question)
    if (headers.dialect === 'v2') this.#refuseHalves(question, forms)
    addTensors(question.inputs, body.subarray(jsonLength), inputs)
    return this.#call({ id, inputs: inputs.complete(), forms, callerId: question.id }, headers)
  }

  /** Responds with all outputs in JSON to a request whose tensors are already known. */
  respond(id: string, inputs: readonly Tensor[], headers: RequestHeaders): Decoded {
    return this.#call({ id, inputs, forms: this.#allJson }, headers)
  }

  #call(fields: CallFields, headers: RequestHeaders): Decoded {
    const { dialect, acceptEncoding } = headers
    const coding = dialect === 'v2' ? chooseCoding(acceptEncoding) : 'identity'
    return new InferenceCall(fields, this.#model, this.#limits, dialect, coding)
  }

  /** A raw body is one sample, so a batch dimension is 1. */
  #readRaw(body: Buffer, headers: RequestHeaders): Tensor {
    const spec = this.#inputs.only(`A body without JSON (${JSON_LENGTH_HEADER}: 0)`)
    const shape = headers.tensorShape === undefined ? undefined : parseShape(headers.tensorShape)
    const single: TensorSpec =
      this.#model.maxBatchSize > 0 ? { ...spec, shape: [1, ...spec.shape.slice(1)] } : spec
    return tensorFromRawBody(single, body, shape)
  }

  #chooseOutputs({ outputs, parameters }: ProtocolRequest): readonly OutputForm[] {
    const isBinary = wantsBinary(parameters)
    if (outputs.length === 0) return isBinary ? this.#allBinary : this.#allJson
    this.#outputs.choose(outputs)
    return outputs.map((output) => formOfOutput(output, this.#outputs.specOf(output.name)))
  }

  /**
   * The protocol does not define FP16 in JSON, and servers reject it, because decimals would be
   * rounded silently.
   */
  #refuseHalves({ inputs }: ProtocolRequest, forms: readonly OutputForm[]): void {
    const input = inputs.find(
      ({ spec, tensor }) => tensor !== undefined && spec.datatype === 'FP16',
    )
    if (input !== undefined) throw halfRefused('Input', input.spec.name, 'send "binary_data_size"')
    const output = forms.find(
      ({ name, isBinary }) => !isBinary && this.#outputs.specOf(name).datatype === 'FP16',
    )
    if (output !== undefined) {
      throw halfRefused('Output', output.name, 'request it with "binary_data": true')
    }
  }
}

interface CallFields {
  readonly id: string
  readonly inputs: readonly Tensor[]
  readonly forms: readonly OutputForm[]
  /** The client's own id, which the response repeats. */
  readonly callerId?: string | undefined
}

class InferenceCall implements Decoded {
  readonly id: string
  readonly dialect: Dialect | undefined
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #fields: CallFields
  readonly #model: ModelMetadata
  readonly #limits: CodecLimits
  readonly #coding: Coding

  constructor(
    fields: CallFields,
    model: ModelMetadata,
    limits: CodecLimits,
    dialect: Dialect | undefined,
    coding: Coding,
  ) {
    this.id = fields.id
    this.dialect = dialect
    this.inputs = fields.inputs
    this.outputNames = fields.forms.map(({ name }) => name)
    this.#fields = fields
    this.#model = model
    this.#limits = limits
    this.#coding = coding
  }

  encode(results: readonly Tensor[]): WirePrediction {
    const { forms, callerId } = this.#fields
    const outputs = classify(results, forms, this.#model)
    const written = writeProtocolResponse(
      this.#model,
      callerId,
      forms,
      outputs,
      this.#limits.maxResponseBytes,
    )
    const headers = this.dialect === undefined ? NO_HEADERS : rowsHeader(this.#model, this.inputs)
    return encodeBody(protocolPrediction(this.id, written, headers), this.#coding)
  }
}

function halfRefused(kind: 'Input' | 'Output', name: string, remedy: string): ServerError {
  return new ServerError(
    'InvalidInputException',
    `${kind} ${quote(name)}: FP16 is only supported as binary data; ${remedy}.`,
  )
}
