import { ServerError } from '../../../../errors.ts'
import { fileFormatOf, isNumpyFile } from '../../../../formats/file-format.ts'
import type { WireParameter, WirePrediction, WireRequest } from '../../../wire/messages.ts'
import { BODY } from '../codec.ts'
import type { CodecLimits, Decoded, RequestCodec } from '../codec.ts'
import type { RequestHeaders } from '../headers.ts'
import { adviceFor, openJson } from '../json/open.ts'
import type { JsonReader } from '../json/reader.ts'
import { responseTooLarge } from '../json/writer.ts'
import { jsonPrediction, prediction } from '../prediction.ts'
import { tensorFromBytes, tensorFromDeclaredNpy } from '../raw/raw-input.ts'
import { responseForm } from '../response-form.ts'
import { LazyTables, isInvalidInput } from '../table-reading.ts'
import type { TableFormat } from '../tables/codec.ts'
import { quote } from '../tensors/error-text.ts'
import { InputTable } from '../tensors/inputs.ts'
import type { ModelMetadata } from '../tensors/metadata.ts'
import { OutputTable } from '../tensors/outputs.ts'
import {
  DATATYPE_HEADER,
  NAME_HEADER,
  SHAPE_HEADER,
  octetsOfTensor,
  parseShape,
} from '../tensors/raw-bytes.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { outputWriters } from './class-forms.ts'
import type { OutputWriter } from './class-forms.ts'
import { plainText, readFormInputs } from './form-inputs.ts'
import { jsonForm, namesInputs, readPlainInputs } from './json-inputs.ts'
import { writePlainResponse } from './json-outputs.ts'
import { contentKind, looksLikeJson, unsupportedType } from './media-type.ts'

/**
 * Decodes the tensor formats of `POST /predictions/{model}`: JSON keyed by input name, a bare JSON
 * value, raw bytes, and a form with one part for each input. The codec `protocol` decodes Open
 * Inference Protocol requests.
 */
export class TensorCodec implements RequestCodec {
  readonly #limits: CodecLimits
  readonly #inputs: InputTable
  readonly #outputs: OutputTable
  readonly #writers: ReadonlyMap<string, OutputWriter>
  readonly #protocol: RequestCodec
  readonly #tables: LazyTables
  readonly #columns: ReadonlySet<string>

  constructor(model: ModelMetadata, limits: CodecLimits, protocol: RequestCodec) {
    this.#writers = outputWriters(model.outputs)
    this.#limits = limits
    this.#inputs = new InputTable(model.inputs)
    this.#outputs = new OutputTable(model.outputs)
    this.#protocol = protocol
    this.#tables = new LazyTables(model, limits)
    this.#columns = new Set(model.columns)
  }

  decode(request: WireRequest, headers: RequestHeaders): Decoded | Promise<Decoded> {
    if (headers.jsonLength !== undefined) return this.#protocol.decode(request, headers)
    const { id, parameters } = request
    const body = wholeBody(parameters, this.#inputs) ?? this.#tablePart(parameters)
    if (body === undefined) {
      return this.respond(id, readFormInputs(parameters, this.#inputs, this.#limits), headers)
    }
    const format = this.#tables.formatOf(body)
    if (format !== undefined) return this.#readTable(request, headers, body, format)
    if (this.#isText(body)) return this.#readText(id, body, headers)
    const json = this.#openIfJson(body)
    return json === undefined
      ? this.respond(id, this.#readOctets(body, headers), headers)
      : this.#readJson(request, headers, body, json)
  }

  /** Returns the only part of a form, if it is a file with a table. */
  #tablePart([part, ...others]: readonly WireParameter[]): WireParameter | undefined {
    return part !== undefined && others.length === 0 && this.#tables.formatOf(part) !== undefined
      ? part
      : undefined
  }

  #readJson(
    request: WireRequest,
    headers: RequestHeaders,
    body: WireParameter,
    json: JsonReader,
  ): Decoded | Promise<Decoded> {
    const form = jsonForm(json, this.#inputs, this.#columns)
    if (form === 'protocol') return this.#protocol.decode(request, headers)
    if (form === 'table') return this.#readTable(request, headers, body, 'json')
    const isList = json.isArray()
    let inputs: readonly Tensor[]
    try {
      inputs = readPlainInputs(json, this.#inputs)
    } catch (error) {
      if (!this.#tables.hasNames || !isInvalidInput(error)) throw error
      const open = (): JsonReader => openJson(body.value, this.#limits)
      if (!isList && !this.#tables.isTableObject(open)) throw error
      return this.#readTable(request, headers, body, 'json')
    }
    return this.respond(request.id, inputs, headers)
  }

  #readTable(
    request: WireRequest,
    headers: RequestHeaders,
    body: WireParameter,
    format: TableFormat,
  ): Promise<Decoded> {
    return this.#tables.answer(request, body, format, (inputs) =>
      this.respond(request.id, inputs, headers),
    )
  }

  /** Responds to a request whose tensors are already known. */
  respond(
    id: string,
    inputs: readonly Tensor[],
    { accept }: RequestHeaders,
  ): Decoded | Promise<Decoded> {
    const form = responseForm(accept)
    const request = { id, dialect: undefined, inputs, outputNames: this.#outputs.names }
    if (form === 'octets') this.#outputs.checkOctets()
    if (form === 'plain' || form === 'octets')
      return new TensorCall(request, form, this.#limits.maxResponseBytes, this.#writers)
    return this.#tables.respond(request, form, accept)
  }

  /**
   * Whether the body is the text for the model's only input, of strings: its type is `text/plain`,
   * and it is not an object of inputs. Browsers declare JSON as `text/plain` by default.
   */
  #isText({ contentType, value }: WireParameter): boolean {
    const [only, ...others] = this.#inputs.specs
    return (
      only?.datatype === 'BYTES' &&
      others.length === 0 &&
      contentKind(contentType) === 'text' &&
      !namesInputs(value, this.#inputs, this.#limits)
    )
  }

  #readText(id: string, body: WireParameter, headers: RequestHeaders): Decoded | Promise<Decoded> {
    return this.respond(id, [plainText(body.value, this.#inputs.only('A text'))], headers)
  }

  /**
   * Returns a reader when the body is JSON according to its type, or according to its content when
   * the type is not specific.
   */
  #openIfJson(body: WireParameter): JsonReader | undefined {
    const kind = contentKind(body.contentType)
    if (kind === 'octets' || kind === 'numpy' || isNumpyFile(body.value)) return undefined
    if (kind !== 'json' && kind !== 'text' && !looksLikeJson(body.value)) {
      if (kind === 'other') throw unsupportedType(body.contentType)
      return undefined
    }
    return openJson(body.value, this.#limits)
  }

  #readOctets(body: WireParameter, headers: RequestHeaders): readonly Tensor[] {
    if (body.value.length === 0 && body.contentType === '') {
      if (this.#inputs.specs.length === 0) return []
      const expected = this.#inputs.expected()
      throw new ServerError('InvalidInputException', `The request has no body; ${expected}.`)
    }
    const format = this.#inputs.specs.length > 1 ? fileFormatOf(body.value) : undefined
    if (format !== undefined && format !== 'a NumPy array file') {
      const text = `The body is ${format}, but ${this.#inputs.expected()}; ${adviceFor(format)}.`
      throw new ServerError('UnsupportedMediaTypeException', text)
    }
    const shape = headers.tensorShape === undefined ? undefined : parseShape(headers.tensorShape)
    return contentKind(body.contentType) === 'numpy'
      ? [tensorFromDeclaredNpy(this.#inputs.only('A NumPy array file'), body.value, shape)]
      : [tensorFromBytes(this.#inputs.only('A body of raw bytes'), body.value, shape)]
  }
}

/** A request for all outputs, as onnxd's own JSON or as the raw bytes of the only output. */
class TensorCall implements Decoded {
  readonly dialect = undefined
  readonly id: string
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #form: 'plain' | 'octets'
  readonly #maxBytes: number
  readonly #writers: ReadonlyMap<string, OutputWriter>

  constructor(
    { id, inputs, outputNames }: Pick<Decoded, 'id' | 'inputs' | 'outputNames'>,
    form: 'plain' | 'octets',
    maxBytes: number,
    writers: ReadonlyMap<string, OutputWriter>,
  ) {
    this.id = id
    this.inputs = inputs
    this.outputNames = outputNames
    this.#form = form
    this.#maxBytes = maxBytes
    this.#writers = writers
  }

  encode(outputs: readonly Tensor[]): WirePrediction {
    if (this.#form === 'octets') return this.#encodeOctets(outputs)
    const body = writePlainResponse(this.outputNames, outputs, this.#maxBytes, this.#writers)
    return jsonPrediction(this.id, 200, body)
  }

  #encodeOctets([output]: readonly Tensor[]): WirePrediction {
    const [name = ''] = this.outputNames
    if (output === undefined) throw new TypeError('no output to encode')
    const body = octetsOfTensor(output, name)
    if (body.length > this.#maxBytes) throw responseTooLarge(this.#maxBytes)
    return prediction(this.id, 200, 'application/octet-stream', body, [
      [NAME_HEADER, encodeURI(name)],
      [DATATYPE_HEADER, output.datatype],
      [SHAPE_HEADER, output.shape.join(',')],
    ])
  }
}

/**
 * Returns the parameter that holds the whole body. Returns `undefined` when the parameters are the
 * inputs themselves: fields of a form, or query values of a request with an empty body.
 * @throws ServerError 400 when inputs are given both as parameters and in a body.
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
    `Input ${quote(other.name)} is a parameter, but the request also has a body. Send all inputs as parameters or all in the body.`,
  )
}
