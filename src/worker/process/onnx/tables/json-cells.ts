/** Reads rows and cells of JSON tables. */
import { skipNumber } from '../json/number-scanner.ts'
import { JsonReader } from '../json/reader.ts'
import type { TableBuilder } from './builder.ts'
import type { Column } from './plan.ts'

const NOTHING: ReadonlySet<string> = new Set()

/** Reads the value of a column in the current row: a JSON scalar, or a list with one scalar. */
export function readCell(reader: JsonReader, builder: TableBuilder, column: Column): void {
  const isList = reader.isArray()
  if (isList && !reader.openArray()) throw builder.cellError(column, 'the list is empty')
  const problem = readScalar(reader, builder, column)
  if (problem !== undefined) throw builder.cellError(column, problem)
  if (isList && reader.nextElement()) {
    throw builder.cellError(column, 'the list has several values, but a column has one in each row')
  }
}

function readScalar(reader: JsonReader, builder: TableBuilder, column: Column): string | undefined {
  const { row } = builder
  const store = builder.take(column)
  const { offset } = column
  if (reader.isString()) return store.text(row, offset, reader.readString())
  if (reader.take('null') || reader.take('NaN')) return store.missing(row, offset)
  if (reader.take('true')) return store.boolean(row, offset, true)
  if (reader.take('false')) return store.boolean(row, offset, false)
  if (reader.isArray() || reader.isObject()) return `${reader.token()} is not a single value`
  const start = reader.position
  skipNumber(reader)
  const text = reader.bytes.toString('latin1', start, reader.position)
  return store.number(row, offset, text, text.endsWith('y') ? 'infinity' : 'number')
}

/** Reads one row: an object keyed by column name, or a list in the order of the columns. */
export function readRow(
  reader: JsonReader,
  builder: TableBuilder,
  ignored: ReadonlySet<string> = NOTHING,
): void {
  if (reader.isObject()) return readRecord(reader, builder, ignored)
  readList(reader, builder, builder.columns ?? builder.columnsFor(countElements(reader)))
}

/** Reads a list with one value for each of the columns; values of absent columns are skipped. */
export function readList(
  reader: JsonReader,
  builder: TableBuilder,
  columns: readonly (Column | undefined)[],
): void {
  builder.startRow()
  if (!reader.isArray()) {
    const [only] = columns
    if (only !== undefined && columns.length === 1) return readCell(reader, builder, only)
    throw reader.unexpected('a list of values')
  }
  let count = 0
  for (let more = reader.openArray(); more; more = reader.nextElement()) {
    if (count < columns.length) {
      const column = columns[count]
      if (column === undefined) reader.skipValue()
      else readCell(reader, builder, column)
    } else reader.skipValue()
    count++
  }
  if (count === columns.length) return
  const label = builder.label(builder.row)
  throw builder.invalid(`${label} has ${count} values, but there are ${columns.length} columns.`)
}

function readRecord(reader: JsonReader, builder: TableBuilder, ignored: ReadonlySet<string>): void {
  builder.startRow()
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const name = reader.readKey()
    const column = builder.find(name) ?? (ignored.has(name) ? undefined : builder.claim(name))
    if (column === undefined) reader.skipValue()
    else readCell(reader, builder, column)
  }
  builder.endRow()
}

/** Looks ahead, which the first row of a model with any number of columns needs. */
function countElements(reader: JsonReader): number {
  if (!reader.isArray()) return 1
  const ahead = readerAt(reader, reader.position)
  let count = 0
  for (let more = ahead.openArray(); more; more = ahead.nextElement()) {
    ahead.skipValue()
    count++
  }
  return count
}

/** A second reader of the same body. */
export function readerAt({ bytes, maxDepth }: JsonReader, position: number): JsonReader {
  const reader = new JsonReader(bytes, maxDepth)
  reader.position = position
  return reader
}
