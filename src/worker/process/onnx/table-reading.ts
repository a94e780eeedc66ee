/** Loads the code that reads and writes tables when a request needs it: few models get tables. */
import { ServerError } from '../../../errors.ts'
import { fileFormatOf, isNumpyArchive } from '../../../formats/file-format.ts'
import type { WireHeader, WireParameter, WireRequest } from '../../wire/messages.ts'
import type { CodecLimits, Decoded } from './codec.ts'
import type { JsonReader } from './json/reader.ts'
import { contentKind } from './predictions/media-type.ts'
import type { TableForm } from './response-form.ts'
import {
  areColumns,
  beginsLikeCsv,
  beginsLikeJsonLines,
  exportedName,
  isKeyedByRow,
} from './table-columns.ts'
import type { TableFormat, TableReader } from './tables/codec.ts'
import type { ModelMetadata, TensorSpec } from './tensors/metadata.ts'
import type { Tensor } from './tensors/tensor.ts'

/** Maximum number of members in which the name of a column is searched. */
const MAX_MEMBERS = 1000

/** A table that a request contains. */
interface ReadTable {
  readonly inputs: readonly Tensor[]
  readonly ignored: readonly string[]
}

export class LazyTables {
  /**
   * Whether columns have names, so that a JSON body that cannot be read as tensors may be a table.
   */
  readonly hasNames: boolean
  readonly #ignoresExtra: boolean
  /** Whether the model itself may decode a file. */
  readonly #takesFiles: boolean
  readonly #columns: ReadonlySet<string>
  readonly #model: ModelMetadata
  readonly #limits: CodecLimits
  #reader: Promise<TableReader> | undefined

  constructor(model: ModelMetadata, limits: CodecLimits) {
    this.#model = model
    this.#limits = limits
    this.#columns = new Set(model.columns ?? model.inputs.map(({ name }) => name))
    this.#ignoresExtra = model.ignoresExtraColumns === true
    this.#takesFiles = model.inputs.some(takesFile)
    this.hasNames = model.columns !== undefined || areColumns(model.inputs)
  }

  /**
   * Whether an object that cannot be read as tensors is a table, so that the error of the table
   * says more: extra columns are ignored, or it is keyed by row, or it has a column under the name
   * from before the export.
   * @param open Returns a reader at its start.
   */
  isTableObject(open: () => JsonReader): boolean {
    const hasOneInput = this.#model.columns !== undefined
    if (!hasOneInput && this.#ignoresExtra) return true
    if (isKeyedByRow(open(), (name) => this.#columns.has(name))) return true
    return !hasOneInput && this.#hasRenamed(open())
  }

  #hasRenamed(reader: JsonReader): boolean {
    if (!reader.isObject()) return false
    let members = 0
    for (let more = reader.openObject(); more; more = reader.nextMember()) {
      const name = reader.readKey()
      if (!this.#columns.has(name) && this.#columns.has(exportedName(name))) return true
      if (++members > MAX_MEMBERS) return false
      reader.skipValue()
    }
    return false
  }

  /** The format of a body that is a table or an archive of arrays; `undefined` for other bodies. */
  formatOf({ contentType, value }: WireParameter): TableFormat | undefined {
    const kind = contentKind(contentType)
    if (kind === 'csv' || kind === 'lines' || kind === 'npz' || kind === 'parquet') return kind
    if (kind !== 'none' && kind !== 'octets') return undefined
    if (isNumpyArchive(value)) return 'npz'
    if (!this.#takesFiles && fileFormatOf(value) === 'a Parquet file') return 'parquet'
    if (!this.hasNames) return undefined
    if (beginsLikeJsonLines(value)) return 'lines'
    return beginsLikeCsv(value, this.#columns) ? 'csv' : undefined
  }

  /**
   * Reads a table and responds to it. Ignored columns are named in a header of the response.
   * @throws ServerError 4xx
   */
  async answer(
    { headers }: WireRequest,
    body: WireParameter,
    format: TableFormat,
    respond: (inputs: readonly Tensor[]) => Decoded | Promise<Decoded>,
  ): Promise<Decoded> {
    const { inputs, ignored } = await this.#read(format, body, headers)
    const call = await respond(inputs)
    if (ignored.length === 0) return call
    return (await import('./tables/codec.ts')).withIgnored(call, ignored)
  }

  async #read(
    format: TableFormat,
    body: WireParameter,
    headers: readonly WireHeader[],
  ): Promise<ReadTable> {
    this.#reader ??= import('./tables/codec.ts').then(
      ({ TableReader }) => new TableReader(this.#model, this.#limits),
    )
    return (await this.#reader).read(format, body, headers)
  }

  /** Returns the request with a response in the form of a table. */
  async respond(
    request: Omit<Decoded, 'encode'>,
    form: TableForm,
    accept: string,
  ): Promise<Decoded> {
    const { TableCall } = await import('./table-responses/call.ts')
    return new TableCall(request, form, accept, this.#model.outputs, this.#limits)
  }
}

/** Whether an input may be the bytes of a file. */
function takesFile({ datatype, shape, holdsFiles, anyShape }: TensorSpec): boolean {
  if (holdsFiles === true) return true
  return (datatype === 'UINT8' || datatype === 'INT8') && shape.length < 2 && anyShape !== true
}

/** Whether a request was rejected with 400, so that reading it as a table may say more. */
export function isInvalidInput(error: unknown): boolean {
  return error instanceof ServerError && error.statusCode === 400
}
