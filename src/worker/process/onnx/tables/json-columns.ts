/** Reads an object of columns, as `to_dict('list')` and `to_json()` of pandas write them. */
import type { JsonReader } from '../json/reader.ts'
import { elementsOf } from '../kserve-v1/instances.ts'
import { quote } from '../tensors/error-text.ts'
import type { TableBuilder } from './builder.ts'
import { readCell } from './json-cells.ts'
import type { Column } from './plan.ts'

/**
 * Reads an object with one member for each column: a list of values, an object of values keyed by
 * row, or the value of a single row.
 */
export function readColumns(reader: JsonReader, builder: TableBuilder): void {
  const columns = new ColumnReader(reader, builder)
  const seen = new Set<Column>()
  for (let more = reader.openObject(); more; more = reader.nextMember()) {
    const name = reader.readKey()
    const column = builder.claim(name)
    if (column !== undefined && seen.has(column)) {
      throw builder.invalid(`Column ${quote(name)} occurs twice.`)
    }
    if (column !== undefined) seen.add(column)
    if (column === undefined) reader.skipValue()
    else columns.read(column)
  }
}

class ColumnReader {
  readonly #reader: JsonReader
  readonly #builder: TableBuilder
  /** The first column and its number of rows, which all columns must have. */
  #first: { readonly name: string; readonly rows: number } | undefined
  /** Names of the rows of the first column, if it is an object. */
  readonly #index: string[] = []

  constructor(reader: JsonReader, builder: TableBuilder) {
    this.#reader = reader
    this.#builder = builder
  }

  read(column: Column): void {
    const rows = this.#readCells(column)
    this.#first ??= { name: column.name, rows }
    if (rows === this.#first.rows) return
    throw this.#builder.invalid(
      `All columns must have the same number of values: ${quote(this.#first.name)} has ${this.#first.rows}, ${quote(column.name)} has ${rows}.`,
    )
  }

  #readCells(column: Column): number {
    const reader = this.#reader
    let row = 0
    if (reader.isArray()) {
      const next = elementsOf(reader)
      for (; next(); row++) this.#readCell(column, row)
    } else if (reader.isObject()) {
      for (let more = reader.openObject(); more; more = reader.nextMember(), row++) {
        this.#checkIndex(column, row, reader.readKey())
        this.#readCell(column, row)
      }
    } else this.#readCell(column, row++)
    return row
  }

  /** A surplus value is only counted. */
  #readCell(column: Column, row: number): void {
    if (this.#first !== undefined && row >= this.#first.rows) return this.#reader.skipValue()
    this.#builder.enterRow(row)
    readCell(this.#reader, this.#builder, column)
  }

  /** Values with the same position must belong to the same row. */
  #checkIndex(column: Column, row: number, name: string): void {
    if (this.#first === undefined) this.#index.push(name)
    else if (row < this.#first.rows && this.#index[row] !== name) {
      const expected = quote(this.#index[row] ?? '')
      throw this.#builder.invalid(
        `Column ${quote(column.name)} has the row ${quote(name)} where ${quote(this.#first.name)} has ${expected}; send the rows of all columns in the same order.`,
      )
    }
  }
}
