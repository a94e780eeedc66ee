/** Relates tables to the inputs of a model, without the code that reads tables. */
import { ServerError } from '../../../errors.ts'
import type { ModelSettings } from '../../../model-folder/settings.ts'
import { JsonReader } from './json/reader.ts'
import { countText, quote, specText } from './tensors/error-text.ts'
import type { ModelMetadata, TensorSpec } from './tensors/metadata.ts'

/**
 * Returns the members of the metadata about columns.
 * @throws ServerError `InvalidModelException` when `columns` does not fit the model's inputs
 */
export function columnsOf(
  inputs: readonly TensorSpec[],
  { columns, extraColumns }: ModelSettings,
): Pick<ModelMetadata, 'columns' | 'ignoresExtraColumns'> {
  if (columns !== undefined) checkColumns(inputs, columns.length)
  return {
    ...(columns === undefined ? {} : { columns }),
    ...(extraColumns === 'ignore' ? { ignoresExtraColumns: true } : {}),
  }
}

function checkColumns([input, ...others]: readonly TensorSpec[], count: number): void {
  if (input === undefined || others.length > 0) {
    const has = countText(input === undefined ? 0 : others.length + 1, 'input')
    throw invalid(
      `needs a model with one input; this model has ${has}, whose names are its columns`,
    )
  }
  const { anyShape, shape } = input
  const isTable = anyShape === true || shape.length === 2 || (shape.length === 1 && count === 1)
  const width = shape[1] ?? -1
  if (isTable && (width < 0 || width === count)) return
  const given = countText(count, 'name')
  throw invalid(`has ${given}, but the input ${quote(input.name)} is ${specText(input)}`)
}

function invalid(problem: string): ServerError {
  return new ServerError('InvalidModelException', `"columns" in model.json ${problem}.`)
}

/** Whether each of several inputs is one column of a table: it has one element for each row. */
export function areColumns(inputs: readonly TensorSpec[]): boolean {
  return inputs.length > 1 && inputs.every(isColumn)
}

function isColumn({ shape, anyShape }: TensorSpec): boolean {
  if (anyShape === true) return true
  return shape.length === 1 || (shape.length === 2 && Math.abs(shape[1] ?? 0) === 1)
}

/**
 * The name that skl2onnx gives the input of a column: `sepal length (cm)` becomes
 * `sepal_length__cm_`. So a table may keep the names of the DataFrame.
 */
export function exportedName(column: string): string {
  const name = column.replaceAll(/[^\p{L}\p{N}_+]/gu, '_')
  return /^\d/.test(name) ? `_${name}` : name
}

/** Longest first line in which names of columns are searched. */
const MAX_HEADER_BYTES = 65_536

/**
 * Whether a body without a declared type begins like a CSV file: the fields of its first line
 * contain names of columns. One name can be a coincidence if the model has several.
 */
export function beginsLikeCsv(bytes: Buffer, columns: ReadonlySet<string>): boolean {
  const start = bytes.subarray(0, MAX_HEADER_BYTES)
  const text = new TextDecoder(encodingOf(bytes) ?? 'utf-8').decode(start)
  const end = text.indexOf('\n')
  if (end === -1) return false
  const line = text.slice(0, end).replace(/\r$/, '')
  if (/[^\P{Cc}\t]|\ufffd/u.test(line)) return false
  const isName = (field: string): boolean => columns.has(field) || columns.has(exportedName(field))
  // With another separator it is CSV all the same, and the error says so.
  return [',', ';', '\t', '|'].some((separator) => {
    const fields = new Set(line.split(separator).map((field) => field.replaceAll(/^"|"$/g, '')))
    return [...fields].filter(isName).length >= Math.min(2, columns.size)
  })
}

/** The encoding that a byte order mark declares, other than UTF-8. */
export function encodingOf(bytes: Buffer): 'utf-16le' | 'utf-16be' | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le'
  return bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : undefined
}

/**
 * Whether a body is several JSON objects, one on each line. No JSON document has `}` before `{`.
 */
export function beginsLikeJsonLines(bytes: Buffer): boolean {
  return /^\s*\{[^\n]*\}[ \t\r]*\n\s*\{/.test(
    bytes.subarray(0, MAX_HEADER_BYTES).toString('latin1'),
  )
}

/** Whether the first member of an object is a row: an object with a column. */
export function isKeyedByRow(
  { bytes, maxDepth, position }: JsonReader,
  isColumnName: (name: string) => boolean,
): boolean {
  const ahead = new JsonReader(bytes, maxDepth)
  ahead.position = position
  if (!ahead.isObject() || !ahead.openObject()) return false
  // `inputs` belongs to other protocols.
  if (ahead.readKey() === 'inputs') return false
  return ahead.isObject() && ahead.openObject() && isColumnName(ahead.readKey())
}
