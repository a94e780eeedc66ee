/** Reads CSV (RFC 4180), with or without a header. */
import { isUtf8 } from 'node:buffer'
import { CsvError, parse } from 'csv-parse/sync'
import { ServerError } from '../../../../errors.ts'
import { countText } from '../tensors/error-text.ts'
import { TableBuilder } from './builder.ts'
import type { Table } from './builder.ts'
import { classify } from './cell-values.ts'
import type { Column, TablePlan } from './plan.ts'

/** Value of the parameter `header` of `text/csv` (RFC 4180). Without it, the first row decides. */
export type Header = 'present' | 'absent' | undefined

/**
 * Reads a CSV file in UTF-8 with commas. A byte order mark, any line ends and empty lines are
 * allowed.
 * @throws ServerError 400
 */
export function readCsv(bytes: Buffer, plan: TablePlan, header: Header, maxCells: number): Table {
  if (bytes.includes(0) || !isUtf8(bytes)) {
    throw new ServerError(
      'InvalidInputException',
      'The CSV is not UTF-8 text. Save it as UTF-8 and send it again.',
    )
  }
  const rows = new CsvRows(new TableBuilder(plan, 'CSV row', maxCells), plan, header)
  try {
    parse(bytes, {
      bom: true,
      record_delimiter: ['\r\n', '\n', '\r'],
      skip_empty_lines: true,
      // `CsvRows` says which row is wrong, and which columns the model has.
      relax_column_count: true,
      on_record: (fields: string[]) => rows.add(fields),
    })
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    throw malformed(error)
  }
  return rows.finish()
}

class CsvRows {
  readonly #builder: TableBuilder
  readonly #plan: TablePlan
  readonly #header: Header
  /** Column of each field; `undefined` for a field that is ignored. */
  #columns: readonly (Column | undefined)[] | undefined

  constructor(builder: TableBuilder, plan: TablePlan, header: Header) {
    this.#builder = builder
    this.#plan = plan
    this.#header = header
  }

  /** Returns nothing, so that the parser keeps no rows. */
  add(fields: readonly string[]): undefined {
    const builder = this.#builder
    if (this.#columns === undefined) {
      if (hasWrongSeparator(fields, this.#plan)) throw builder.invalid(WRONG_SEPARATOR)
      const isHeader = this.#isHeader(fields)
      this.#columns = isHeader
        ? builder.claimAll(fields, isIndex)
        : builder.columnsFor(fields.length)
      if (isHeader) return
    }
    const columns = this.#columns
    if (fields.length !== columns.length) {
      const found = countText(fields.length, 'field')
      throw builder.invalid(
        `${builder.label(builder.rows)} has ${found}, but the first row has ${columns.length}.`,
      )
    }
    const row = builder.startRow()
    for (const [index, column] of columns.entries()) {
      if (column === undefined) continue
      const problem = builder.take(column).cell(row, column.offset, fields[index] ?? '')
      if (problem !== undefined) throw builder.cellError(column, problem)
    }
  }

  finish(): Table {
    return this.#builder.finish()
  }

  /**
   * Whether the first row has names: the name of a column, or a text where the model needs a
   * number.
   */
  #isHeader(fields: readonly string[]): boolean {
    if (this.#header !== undefined) return this.#header === 'present'
    const { columns, inputs, isNamed } = this.#plan
    if (isNamed && fields.some((field) => this.#builder.find(field) !== undefined)) return true
    return fields.some((field, index) => {
      const { datatype } = inputs[columns?.[index]?.input ?? 0] ?? {}
      return datatype !== 'BYTES' && field.trim() !== '' && classify(field.trim()) === 'other'
    })
  }
}

const WRONG_SEPARATOR =
  'The CSV has no commas: separate the fields of a row with commas, and write decimals with a point.'

function hasWrongSeparator([first = '', ...others]: readonly string[], plan: TablePlan): boolean {
  return others.length === 0 && plan.columns?.length !== 1 && /[;\t|]/.test(first)
}

/** `to_csv` of pandas writes its index as a first column without a name. */
function isIndex(name: string, position: number): boolean {
  return position === 0 && name === ''
}

function malformed({ code, lines }: CsvError): ServerError {
  const line = typeof lines === 'number' ? ` in line ${lines}` : ''
  const problem =
    code === 'CSV_QUOTE_NOT_CLOSED'
      ? 'a quoted field has no closing quote'
      : 'a quote is at a wrong place'
  return new ServerError(
    'InvalidInputException',
    `The CSV is not valid${line}: ${problem}. Put a field with quotes, commas or line ends in double quotes, and write each quote in it twice.`,
  )
}
