/** Reads tables, Parquet files and NumPy archives as request bodies. */
import { ServerError } from '../../../../errors.ts'
import type { ErrorType } from '../../../../errors.ts'
import type { WireHeader, WireParameter, WirePrediction } from '../../../wire/messages.ts'
import type { CodecLimits, Decoded } from '../codec.ts'
import { openJson } from '../json/open.ts'
import type { JsonReader } from '../json/reader.ts'
import { elementsOf, readInstanceRows, readInstances } from '../kserve-v1/instances.ts'
import { InputTable } from '../tensors/inputs.ts'
import type { ModelMetadata } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import type { Table } from './builder.ts'
import { readCsv } from './csv.ts'
import type { Header } from './csv.ts'
import { readerAt } from './json-cells.ts'
import { readJsonLines, readJsonTable } from './json-tables.ts'
import { planTable } from './plan.ts'
import type { TablePlan } from './plan.ts'

export type TableFormat = 'csv' | 'lines' | 'json' | 'npz' | 'parquet'

/** Response header with the columns of a table that were ignored, percent-encoded. */
const IGNORED_HEADER = 'Onnxd-Ignored-Columns'
const CONTENT_TYPE = 'content-type'

/** Reads the tables of one model. */
export class TableReader {
  readonly #limits: CodecLimits
  readonly #inputs: InputTable
  readonly #plan: TablePlan | undefined
  /** Names of the columns of the only input, if `model.json` sets them. */
  readonly #names: readonly string[]

  constructor(model: ModelMetadata, limits: CodecLimits) {
    this.#names = model.columns ?? []
    this.#limits = limits
    this.#inputs = new InputTable(model.inputs)
    this.#plan = planTable(model)
  }

  /** @throws ServerError 4xx */
  async read(
    format: TableFormat,
    { value }: WireParameter,
    headers: readonly WireHeader[],
  ): Promise<Table> {
    switch (format) {
      case 'csv':
        return this.#readCsv(value, headerOf(headers))
      case 'lines':
        return this.#readLines(openJson(value, this.#limits))
      case 'json':
        return this.#readJson(openJson(value, this.#limits))
      case 'parquet': {
        const plan = this.#planned('UnsupportedMediaTypeException')
        const { readParquet } = await import('./parquet/read.ts')
        return readParquet(value, plan, this.#limits.maxJsonBytes, this.#maxUnpacked(value))
      }
      case 'npz': {
        const { readNpz } = await import('./npz.ts')
        const limit = this.#maxUnpacked(value)
        return { inputs: await readNpz(value, this.#inputs, this.#names, limit), ignored: [] }
      }
    }
  }

  /** Limit for a compressed file after decompression, bytes. */
  #maxUnpacked({ length }: Buffer): number {
    return Math.max(length, this.#limits.maxResponseBytes)
  }

  #readCsv(bytes: Buffer, header: Header): Table {
    const { maxJsonBytes } = this.#limits
    if (bytes.length > maxJsonBytes) {
      throw new ServerError(
        'PayloadTooLargeException',
        `The CSV has ${bytes.length} bytes, more than the limit of ${maxJsonBytes}; send it in parts.`,
      )
    }
    if (bytes.length === 0) throw invalid('The CSV is empty.')
    return readCsv(bytes, this.#planned('UnsupportedMediaTypeException'), header, maxJsonBytes)
  }

  #readLines(reader: JsonReader): Table {
    const next = (): boolean => reader.peek() !== -1
    if (this.#areInstances(reader)) return whole(readInstanceRows(reader, this.#inputs, next))
    return readJsonLines(reader, this.#planned(), this.#limits.maxJsonBytes)
  }

  #readJson(reader: JsonReader): Table {
    if (reader.isArray()) {
      const ahead = readerAt(reader, reader.position)
      if (ahead.openArray() && this.#areInstances(ahead)) {
        const inputs = readInstanceRows(reader, this.#inputs, elementsOf(reader))
        reader.end()
        return whole(inputs)
      }
    } else if (this.#hasInstances(reader)) return whole(readInstances(reader, this.#inputs))
    return readJsonTable(reader, this.#planned(), this.#limits.maxJsonBytes)
  }

  /** Whether the body is an object with a list `instances` that is not a table. */
  #hasInstances(reader: JsonReader): boolean {
    const ahead = readerAt(reader, reader.position)
    if (!ahead.isObject() || !ahead.openObject() || ahead.readKey() !== 'instances') return false
    return !ahead.isArray() || !ahead.openArray() || this.#areInstances(ahead)
  }

  /**
   * Whether the value at the reader's position is an instance of the inputs instead of a row: an
   * object keyed by an input that is not a column, or nested lists.
   */
  #areInstances(reader: JsonReader): boolean {
    if (this.#plan === undefined) return true
    const ahead = readerAt(reader, reader.position)
    if (ahead.isObject()) {
      if (!ahead.openObject()) return false
      const name = ahead.readKey()
      const { columns } = this.#plan
      return this.#inputs.has(name) && !(columns ?? []).some((column) => column.name === name)
    }
    const [only, ...others] = this.#inputs.specs
    return only !== undefined && others.length === 0 && only.shape.length > 2
  }

  #planned(type: ErrorType = 'InvalidInputException'): TablePlan {
    if (this.#plan !== undefined) return this.#plan
    throw new ServerError(
      type,
      `The model does not take tables, because its inputs are not columns; ${this.#inputs.expected()}. Send JSON keyed by input name.`,
    )
  }
}

/** Names the ignored columns of a request in a header of its response. */
export function withIgnored(decoded: Decoded, names: readonly string[]): Decoded {
  if (names.length === 0) return decoded
  const { id, dialect, inputs, outputNames } = decoded
  const header: WireHeader = [IGNORED_HEADER, headerText(names)]
  return {
    id,
    dialect,
    inputs,
    outputNames,
    encode: (outputs) => {
      const add = (answer: WirePrediction): WirePrediction => ({
        ...answer,
        headers: [...answer.headers, header],
      })
      const answer = decoded.encode(outputs)
      return answer instanceof Promise ? answer.then(add) : add(answer)
    },
  }
}

/** Proxies limit the length of headers, so only the first names are listed. */
const MAX_HEADER_NAMES = 20
const MAX_NAME = 64

function headerText(names: readonly string[]): string {
  const shown = names
    .slice(0, MAX_HEADER_NAMES)
    .map((name) => encodeURIComponent(name.slice(0, MAX_NAME).replace(/[\ud800-\udbff]$/, '')))
  return [...shown, ...(names.length > shown.length ? ['...'] : [])].join(', ')
}

/** The parameter `header` of the content type, which only the request headers have. */
function headerOf(headers: readonly WireHeader[]): Header {
  const [, type = ''] = headers.find(([name]) => name.toLowerCase() === CONTENT_TYPE) ?? []
  const value = /;\s*header\s*=\s*"?(present|absent)\b/i.exec(type)?.[1]?.toLowerCase()
  return value === 'present' || value === 'absent' ? value : undefined
}

function whole(inputs: readonly Tensor[]): Table {
  return { inputs, ignored: [] }
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidInputException', message)
}
