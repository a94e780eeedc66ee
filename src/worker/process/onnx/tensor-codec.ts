import { ServerError } from '../../../errors.ts'
import type { WireParameter, WirePrediction, WireRequest } from '../../wire/messages.ts'
import type { CodecLimits, Decoded, RequestCodec } from './codec.ts'
import { quote } from './error-text.ts'
import { openJson, readFormInputs } from './form-inputs.ts'
import { prefersOctets, readHeaders } from './headers.ts'
import type { RequestHeaders } from './headers.ts'
import { InputSet, InputTable } from './input-table.ts'
import { writePlainResponse, writeProtocolResponse } from './json-answers.ts'
import { isProtocolRequest, readPlainInputs } from './json-inputs.ts'
import type { JsonReader } from './json-reader.ts'
import { responseTooLarge } from './json-writer.ts'
import { contentKind, looksLikeJson, unsupportedType } from './media-type.ts'
import type { ModelMetadata } from './metadata.ts'
import {
  DATATYPE_HEADER,
  NAME_HEADER,
  SHAPE_HEADER,
  octetsOfTensor,
  parseShape,
  tensorFromOctets,
} from './octets.ts'
import { readProtocolRequest } from './oip-request.ts'
import { OutputTable } from './output-table.ts'
import { jsonPrediction, prediction } from './prediction.ts'
import type { Tensor } from './tensor.ts'

/** Name of the parameter that holds a whole request body. */
const BODY = 'body'

/** A request that this codec has read: `form` says how its answer is written. */
class DecodedTensors implements Decoded {
  readonly id: string
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly form: 'plain' | 'protocol' | 'octets'
  /** The caller's own id, which an Open Inference Protocol answer repeats. */
  readonly protocolId: string | undefined

  constructor(
    fields: Omit<DecodedTensors, 'protocolId'> & { readonly protocolId?: string | undefined },
  ) {
    this.id = fields.id
    this.inputs = fields.inputs
    this.outputNames = fields.outputNames
    this.form = fields.form
    this.protocolId = fields.protocolId
  }
}

/**
 * The forms of tensors that `POST /predictions/{model}` takes: JSON keyed by input name, a bare JSON value, an
 * Open Inference Protocol request, raw bytes, a form with one part for each input.
 */
export class TensorCodec implements RequestCodec {
  readonly #model: ModelMetadata
  readonly #limits: CodecLimits
  readonly #inputs: InputTable
  readonly #outputs: OutputTable

  constructor(model: ModelMetadata, limits: CodecLimits) {
    this.#model = model
    this.#limits = limits
    this.#inputs = new InputTable(model.inputs)
    this.#outputs = new OutputTable(model.outputs)
  }

  decode(request: WireRequest): Decoded {
    const { id } = request
    const headers = readHeaders(request.headers)
    if (headers.contentEncoding !== '' && headers.contentEncoding !== 'identity') {
      throw new ServerError(
        'UnsupportedMediaTypeException',
        `Content encoding ${quote(headers.contentEncoding)} is not supported.`,
      )
    }
    const body = wholeBody(request.parameters, this.#inputs)
    const json = body && this.#openIfJson(body)
    if (json !== undefined && isProtocolRequest(json, this.#inputs)) {
      return this.#decodeProtocol(id, json)
    }
    const form = prefersOctets(headers.accept) ? 'octets' : 'plain'
    if (form === 'octets') this.#outputs.checkOctets()
    const inputs = json
      ? readPlainInputs(json, this.#inputs)
      : body
        ? this.#readOctets(body, headers)
        : readFormInputs(request.parameters, this.#inputs, this.#limits)
    return new DecodedTensors({ id, inputs, outputNames: this.#outputs.names, form })
  }

  encode(outputs: readonly Tensor[], decoded: Decoded): WirePrediction {
    if (!(decoded instanceof DecodedTensors)) throw new TypeError('decoded by another codec')
    const { id, outputNames, form } = decoded
    const { maxResponseBytes } = this.#limits
    if (form === 'octets') return this.#encodeOctets(outputs, decoded)
    const body =
      form === 'protocol'
        ? writeProtocolResponse(
            this.#model,
            decoded.protocolId,
            outputNames,
            outputs,
            maxResponseBytes,
          )
        : writePlainResponse(outputNames, outputs, maxResponseBytes)
    return jsonPrediction(id, 200, body)
  }

  /** A reader when the body is JSON by its type, or by its looks where the type does not say. */
  #openIfJson(body: WireParameter): JsonReader | undefined {
    const kind = contentKind(body.contentType)
    if (kind === 'octets') return undefined
    if (kind !== 'json' && kind !== 'text' && !looksLikeJson(body.value)) {
      if (kind === 'other') throw unsupportedType(body.contentType)
      return undefined
    }
    return openJson(body.value, this.#limits)
  }

  #decodeProtocol(id: string, json: JsonReader): Decoded {
    const inputs = new InputSet(this.#inputs)
    const request = readProtocolRequest(json, inputs)
    for (const { spec, tensor } of request.inputs) {
      if (tensor === undefined) {
        throw new ServerError('InvalidInputException', `Input ${quote(spec.name)} has no "data".`)
      }
      inputs.add(spec.name, tensor)
    }
    return new DecodedTensors({
      id,
      inputs: inputs.complete(),
      outputNames: this.#outputs.choose(request.outputs),
      form: 'protocol',
      protocolId: request.id,
    })
  }

  #readOctets(body: WireParameter, headers: RequestHeaders): readonly Tensor[] {
    if (body.value.length === 0 && body.contentType === '') {
      if (this.#inputs.specs.length === 0) return []
      const expected = this.#inputs.expected()
      throw new ServerError('InvalidInputException', `The request has no body; ${expected}.`)
    }
    const shape = headers.tensorShape === undefined ? undefined : parseShape(headers.tensorShape)
    return [tensorFromOctets(this.#inputs.only('A body of raw bytes'), body.value, shape)]
  }

  #encodeOctets(outputs: readonly Tensor[], decoded: Decoded): WirePrediction {
    const [output] = outputs
    const name = decoded.outputNames[0] ?? ''
    if (output === undefined) throw new TypeError('no output to encode')
    const body = octetsOfTensor(output, name)
    const { maxResponseBytes } = this.#limits
    if (body.length > maxResponseBytes) throw responseTooLarge(maxResponseBytes)
    return prediction(decoded.id, 200, 'application/octet-stream', body, [
      [NAME_HEADER, encodeURI(name)],
      [DATATYPE_HEADER, output.datatype],
      [SHAPE_HEADER, output.shape.join(',')],
    ])
  }
}

/**
 * The parameter that holds the whole body, unless the parameters are the inputs themselves: fields of a form,
 * or query values of a request with an empty body.
 */
function wholeBody(
  parameters: readonly WireParameter[],
  inputs: InputTable,
): WireParameter | undefined {
  const body = parameters.find((parameter) => parameter.name === BODY)
  if (body === undefined || parameters.length === 1) return body
  const other = parameters.find((parameter) => parameter !== body && inputs.has(parameter.name))
  if (other === undefined) return body
  if (body.value.length === 0 || inputs.has(BODY)) return undefined
  throw new ServerError(
    'InvalidInputException',
    `Input ${quote(other.name)} is given as a parameter, and there is a body too; send all inputs in one of them.`,
  )
}
