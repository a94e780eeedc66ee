/** Reads Parquet files whose columns have one value in each row. */
import { isUtf8 } from 'node:buffer'
import { ServerError } from '../../../../../errors.ts'
import { TableBuilder } from '../builder.ts'
import type { Table } from '../builder.ts'
import type { Column, TablePlan } from '../plan.ts'
import { damaged, unsupported } from './damage.ts'
import { readFooter } from './footer.ts'
import type { FileColumn, Footer } from './footer.ts'
import { PageBudget, readPages } from './pages.ts'
import { problemOf } from './values.ts'
import type { Value } from './values.ts'

/** The columns in which pandas writes the index of a table. */
const INDEX = /^__index_level_\d+__$/

/**
 * Reads a file. Its columns are found as those of a CSV header.
 * @param maxCells Maximum number of rows times columns.
 * @param maxBytes Limit for the pages of the columns after decompression.
 * @throws ServerError 400, 413 when it exceeds a limit, or 415 for parts of the format that are not
 * supported
 */
export function readParquet(
  file: Buffer,
  plan: TablePlan,
  maxCells: number,
  maxBytes: number,
): Table {
  const footer = readFooter(file)
  const builder = new TableBuilder(plan, 'row', maxCells)
  const names = footer.columns.map(({ name }) => name)
  const columns = builder.claimAll(names, (name) => INDEX.test(name))
  const cells = footer.rows * Math.max(builder.columns?.length ?? 1, 1)
  if (cells > maxCells) {
    throw new ServerError(
      'PayloadTooLargeException',
      `The table has ${cells} cells (rows times columns), more than the limit of ${maxCells}; send it in parts.`,
    )
  }
  const reader = new ParquetReader(file, footer, builder, maxBytes)
  for (const [index, column] of columns.entries()) {
    const source = footer.columns[index]
    if (column !== undefined && source !== undefined) reader.read(source, column)
  }
  return builder.finish()
}

class ParquetReader {
  readonly #file: Buffer
  readonly #footer: Footer
  readonly #builder: TableBuilder
  readonly #pages: PageBudget
  /** Texts of a dictionary may occur in many rows. */
  readonly #texts: PageBudget

  constructor(file: Buffer, footer: Footer, builder: TableBuilder, maxBytes: number) {
    this.#file = file
    this.#footer = footer
    this.#builder = builder
    this.#pages = new PageBudget(maxBytes)
    this.#texts = new PageBudget(maxBytes)
  }

  read(source: FileColumn, column: Column): void {
    const problem = problemOf(source)
    if (problem !== undefined) throw unsupported(source.name, ...problem)
    let row = 0
    for (const { rows, chunks } of this.#footer.groups) {
      if (rows === 0) continue
      const chunk = chunks.find(({ name }) => name === source.name)
      if (chunk === undefined) throw damaged('a row group does not have all columns')
      readPages(this.#file, { chunk, column: source, rows }, this.#pages, (value) =>
        this.#addCell(row++, column, value),
      )
    }
  }

  #addCell(row: number, column: Column, value: Value | undefined): void {
    const builder = this.#builder
    builder.enterRow(row)
    const store = builder.take(column)
    const { offset } = column
    const problem =
      value === undefined
        ? store.missing(row, offset)
        : typeof value === 'number'
          ? store.double(row, offset, value)
          : typeof value === 'bigint'
            ? store.number(row, offset, String(value), 'number')
            : typeof value === 'boolean'
              ? store.boolean(row, offset, value)
              : isUtf8(value)
                ? store.text(row, offset, this.#textOf(value))
                : 'the bytes are not a text in UTF-8'
    if (problem !== undefined) throw builder.cellError(column, problem)
  }

  #textOf(bytes: Buffer): string {
    this.#texts.spend(bytes.length)
    return bytes.toString()
  }
}
