/**
 * Reads JSON tables: records, JSON lines, and the forms of pandas (`split`, `table`, `list`, and
 * `columns`, its default) and MLflow (`dataframe_split`, `dataframe_records`).
 */
import type { JsonReader } from '../json/reader.ts'
import { elementsOf } from '../kserve-v1/instances.ts'
import { isKeyedByRow } from '../table-columns.ts'
import { quote } from '../tensors/error-text.ts'
import { TableBuilder } from './builder.ts'
import type { Table } from './builder.ts'
import { readList, readRow, readerAt } from './json-cells.ts'
import { readColumns } from './json-columns.ts'
import type { TablePlan } from './plan.ts'

/** Maximum number of unknown members before the one that decides the form. */
const MAX_UNKNOWN_MEMBERS = 1000
const NOTHING: ReadonlySet<string> = new Set()

/** Members with a list of rows. */
const ROW_LISTS: ReadonlySet<string> = new Set(['instances', 'dataframe_records'])
/** `to_json(orient="index")`. */
const ROWS_BY_NAME =
  'The table is an object keyed by row, as to_json(orient="index") writes it. Send to_json() with orient="records", "split", "table", "values" or its default.'
/** Members of `split` and `table`. */
const FRAME_MEMBERS: ReadonlySet<string> = new Set(['columns', 'index', 'data', 'schema'])

/**
 * Reads a body that is a list of rows, or an object in one of the forms of a table.
 * @throws ServerError 400
 */
export function readJsonTable(reader: JsonReader, plan: TablePlan, maxCells: number): Table {
  const builder = new TableBuilder(plan, 'record', maxCells)
  if (reader.isObject()) readObject(reader, builder)
  else readRows(reader, builder)
  reader.end()
  return builder.finish()
}

/** Reads rows that stand one after the other, each a JSON value. */
export function readJsonLines(reader: JsonReader, plan: TablePlan, maxCells: number): Table {
  const builder = new TableBuilder(plan, 'record', maxCells)
  while (reader.peek() !== -1) readRow(reader, builder)
  return builder.finish()
}

function readObject(reader: JsonReader, builder: TableBuilder): void {
  const name = decisiveMember(reader, builder)
  if (name === undefined && isKeyedByRow(reader, (member) => builder.find(member) !== undefined)) {
    throw builder.invalid(ROWS_BY_NAME)
  }
  if (name === undefined || builder.find(name) !== undefined) return readColumns(reader, builder)
  if (FRAME_MEMBERS.has(name)) return readFrame(reader, builder)
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    if (reader.readKey() !== name) reader.skipValue()
    else if (builder.rows > 0) throw builder.invalid(`The request has ${quote(name)} twice.`)
    else if (ROW_LISTS.has(name)) readRows(reader, builder)
    else readFrame(reader, builder)
  }
}

/** Returns the first member that is a column or belongs to a form of tables, without moving. */
function decisiveMember(reader: JsonReader, builder: TableBuilder): string | undefined {
  const ahead = readerAt(reader, reader.position)
  let unknown = 0
  for (let more = ahead.openObject(); more; more = ahead.nextMember()) {
    const name = ahead.readKey()
    const isKnown = builder.find(name) !== undefined || FRAME_MEMBERS.has(name)
    if (isKnown || ROW_LISTS.has(name) || name === 'dataframe_split') return name
    if (++unknown > MAX_UNKNOWN_MEMBERS) return undefined
    ahead.skipValue()
  }
  return undefined
}

function readRows(reader: JsonReader, builder: TableBuilder): void {
  const next = elementsOf(reader)
  while (next()) readRow(reader, builder)
}

/** Reads `split` or `table`: names and data in two members, in any order. */
function readFrame(reader: JsonReader, builder: TableBuilder): void {
  let names: readonly string[] | undefined
  let index: ReadonlySet<string> | undefined
  let dataAt: number | undefined
  let isRead = false
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const name = reader.readKey()
    if (name === 'columns') names = readNames(reader)
    else if (name === 'schema') index = readIndexNames(reader)
    else if (name === 'data' && !isRead && (names !== undefined || index !== undefined)) {
      readData(reader, builder, names, index)
      isRead = true
    } else {
      if (name === 'data') dataAt = reader.peek() === -1 ? undefined : reader.position
      reader.skipValue()
    }
  }
  if (isRead) return
  if (dataAt === undefined) throw builder.invalid('The table has no "data".')
  readData(readerAt(reader, dataAt), builder, names, index)
}

function readData(
  reader: JsonReader,
  builder: TableBuilder,
  names: readonly string[] | undefined,
  index: ReadonlySet<string> = NOTHING,
): void {
  const columns = names && builder.claimAll(names, () => false)
  const next = elementsOf(reader)
  while (next()) {
    if (columns === undefined || reader.isObject()) readRow(reader, builder, index)
    else readList(reader, builder, columns)
  }
}

/** Reads the names of the columns; pandas numbers columns that have none. */
function readNames(reader: JsonReader): readonly string[] {
  const names: string[] = []
  const next = elementsOf(reader)
  while (next()) {
    if (reader.isString()) names.push(reader.readString())
    else if (reader.isArray() || reader.isObject()) {
      throw reader.unexpected('the name of a column')
    } else {
      const start = reader.position
      reader.skipValue()
      names.push(reader.bytes.toString('latin1', start, reader.position))
    }
  }
  return names
}

/** Reads the names of the index from the schema of `table`. */
function readIndexNames(reader: JsonReader): ReadonlySet<string> {
  const names = new Set<string>()
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    if (reader.readKey() !== 'primaryKey') reader.skipValue()
    else
      for (const name of reader.isString() ? [reader.readString()] : readNames(reader))
        names.add(name)
  }
  return names
}
