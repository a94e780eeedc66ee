/**
 * KServe's V1 protocol: a request has a list of instances, and its response a list of predictions
 * with the same length.
 */
import type { Dialect } from '../../../../contract/internal-headers.ts'
import { ServerError } from '../../../../errors.ts'
import { isNumpyFile } from '../../../../formats/file-format.ts'
import type { WireParameter, WirePrediction, WireRequest } from '../../../wire/messages.ts'
import { BODY } from '../codec.ts'
import type { CodecLimits, Decoded, RequestCodec } from '../codec.ts'
import type { RequestHeaders } from '../headers.ts'
import { openJson } from '../json/open.ts'
import { JsonWriter } from '../json/writer.ts'
import { jsonPrediction } from '../prediction.ts'
import { expectedBytes } from '../predictions/json-outputs.ts'
import { contentKind } from '../predictions/media-type.ts'
import { tensorFromDeclaredNpy } from '../raw/raw-input.ts'
import { responseForm } from '../response-form.ts'
import { LazyTables, isInvalidInput } from '../table-reading.ts'
import type { TableFormat } from '../tables/codec.ts'
import { quote } from '../tensors/error-text.ts'
import { InputTable } from '../tensors/inputs.ts'
import type { ModelMetadata } from '../tensors/metadata.ts'
import { OutputTable } from '../tensors/outputs.ts'
import { rowsOf, splitRows } from '../tensors/rows.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { readInstances } from './instances.ts'

const EMPTY: WireParameter = { name: BODY, contentType: '', value: Buffer.alloc(0) }

/**
 * Returns whether outputs have an entry for each instance.
 * @param id The request that is served, and its inputs.
 */
type TryOut = (id: string, inputs: readonly Tensor[]) => boolean | Promise<boolean>

export class InstancesCodec implements RequestCodec {
  readonly #limits: CodecLimits
  readonly #inputs: InputTable
  readonly #outputs: OutputTable
  readonly #tryOut: TryOut
  readonly #tables: LazyTables
  #hasEntries: boolean | undefined

  /**
   * @param tryOut It is called at the first request.
   */
  constructor(model: ModelMetadata, limits: CodecLimits, tryOut: TryOut) {
    this.#limits = limits
    this.#tryOut = tryOut
    this.#tables = new LazyTables(model, limits)
    this.#inputs = new InputTable(model.inputs)
    this.#outputs = new OutputTable(model.outputs)
  }

  decode(request: WireRequest, headers: RequestHeaders): Decoded | Promise<Decoded> {
    const { id, parameters } = request
    const body = parameters.find((parameter) => parameter.name === BODY) ?? EMPTY
    const format = this.#tables.formatOf(body)
    if (format !== undefined) return this.#readTable(request, headers, body, format)
    let inputs: readonly Tensor[]
    try {
      inputs = this.#readBody(body)
    } catch (error) {
      // Columns may have missing values and extra columns, and errors name the row.
      if (!this.#tables.hasNames || !isInvalidInput(error)) throw error
      return this.#readTable(request, headers, body, 'json')
    }
    return this.respond(id, inputs, headers)
  }

  #readBody({ contentType, value }: WireParameter): readonly Tensor[] {
    if (contentKind(contentType) === 'numpy' || isNumpyFile(value)) {
      return [tensorFromDeclaredNpy(this.#inputs.only('A NumPy array file'), value)]
    }
    return readInstances(openJson(value, this.#limits), this.#inputs)
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
    { dialect, accept }: RequestHeaders,
  ): Decoded | Promise<Decoded> {
    const request = { id, dialect, inputs, outputNames: this.#outputs.names }
    const form = responseForm(accept)
    if (form !== 'plain' && form !== 'octets') return this.#tables.respond(request, form, accept)
    const hasEntries = this.#hasEntries ?? this.#tryOut(id, inputs)
    if (!(hasEntries instanceof Promise)) return this.#call(request, hasEntries)
    return hasEntries.then((known) => this.#call(request, known))
  }

  #call(request: Omit<Decoded, 'encode'>, hasEntries: boolean): Decoded {
    this.#hasEntries = hasEntries
    return new InstancesCall(request, hasEntries, this.#limits.maxResponseBytes)
  }
}

class InstancesCall implements Decoded {
  readonly id: string
  readonly dialect: Dialect | undefined
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #hasEntries: boolean
  readonly #maxBytes: number

  constructor(request: Omit<Decoded, 'encode'>, hasEntries: boolean, maxBytes: number) {
    this.id = request.id
    this.dialect = request.dialect
    this.inputs = request.inputs
    this.outputNames = request.outputNames
    this.#hasEntries = hasEntries
    this.#maxBytes = maxBytes
  }

  encode(outputs: readonly Tensor[]): WirePrediction {
    const writer = new JsonWriter(this.#maxBytes, expectedBytes(outputs))
    writer.ascii('{"predictions":')
    if (this.#hasEntries) this.#writeEntries(writer, outputs)
    else this.#writeColumns(writer, outputs)
    return jsonPrediction(this.id, 200, writer.ascii('}').finish())
  }

  #writeEntries(writer: JsonWriter, outputs: readonly Tensor[]): void {
    const [first] = this.inputs
    const count = (first && rowsOf(first)) ?? 0
    const stray = outputs.findIndex((output) => rowsOf(output) !== count)
    if (stray !== -1) {
      throw new ServerError(
        'InvalidInputException',
        `Output ${quote(this.outputNames[stray] ?? '')} does not have one element for each instance. Request it through the Open Inference Protocol.`,
      )
    }
    const [only, ...others] = outputs
    if (only !== undefined && others.length === 0) writer.nested(only, this.outputNames[0] ?? '')
    else this.#writeObjects(writer, outputs, count)
  }

  /**
   * Writes outputs that belong to all instances together: one object with each output as a whole.
   */
  #writeColumns(writer: JsonWriter, outputs: readonly Tensor[]): void {
    for (const [index, output] of outputs.entries()) {
      const name = this.outputNames[index] ?? ''
      writer
        .ascii(index > 0 ? ',' : '{')
        .string(name)
        .ascii(':')
        .nested(output, name)
    }
    writer.ascii(outputs.length > 0 ? '}' : '{}')
  }

  /** Writes several outputs: one object for each instance, keyed by output name. */
  #writeObjects(writer: JsonWriter, outputs: readonly Tensor[], count: number): void {
    const single = Array.from({ length: count }, () => 1)
    const columns = outputs.map((output) => splitRows(output, single))
    writer.ascii('[')
    for (let row = 0; row < count; row++) {
      writer.ascii(row > 0 ? ',{' : '{')
      for (const [index, name] of this.outputNames.entries()) {
        const cell = columns[index]?.[row]
        if (cell === undefined) throw new TypeError('an output without a row')
        writer
          .ascii(index > 0 ? ',' : '')
          .string(name)
          .ascii(':')
        writer.nested({ ...cell, shape: cell.shape.slice(1) }, name)
      }
      writer.ascii('}')
    }
    writer.ascii(']')
  }
}
