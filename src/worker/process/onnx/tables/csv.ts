/** Reads CSV (RFC 4180), with or without a header. */
import { CsvError } from 'csv-parse/sync'
import { ServerError } from '../../../../errors.ts'
import { countText } from '../tensors/error-text.ts'
import { TableBuilder } from './builder.ts'
import type { Table } from './builder.ts'
import { classify } from './cell-values.ts'
import { readRecords } from './csv-records.ts'
import { mostFields, sizeOfCsv } from './csv-size.ts'
import type { CsvSize } from './csv-size.ts'
import { decimalCommaIn, findWrongSeparator, utf8Of } from './csv-text.ts'
import type { WrongSeparator } from './csv-text.ts'
import type { Column, TablePlan } from './plan.ts'

/** Value of the parameter `header` of `text/csv` (RFC 4180). Without it, the first row decides. */
export type Header = 'present' | 'absent' | undefined

/**
 * Reads a CSV file with commas, in UTF-8 or in UTF-16 with a byte order mark. UTF-8 may have one
 * too. Any line ends and empty lines are allowed.
 * @throws ServerError 400
 */
export function readCsv(bytes: Buffer, plan: TablePlan, header: Header, maxCells: number): Table {
  const csv = utf8Of(bytes)
  const size = sizeOfCsv(csv, maxFieldsOf(plan))
  const rows = new CsvRows(new TableBuilder(plan, 'CSV row', maxCells), plan, header, size)
  try {
    readRecords(csv.subarray(0, size.wide?.end), size.hasQuotes, (fields) => rows.add(fields))
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    throw malformed(error)
  }
  return rows.finish()
}

/** Most fields of the first row; a row with more is rejected in any case. */
function maxFieldsOf({ columns, isNamed, ignoresExtraColumns }: TablePlan): number {
  const isOpen = columns === undefined || (isNamed && ignoresExtraColumns)
  return isOpen ? Infinity : mostFields(columns.length)
}

class CsvRows {
  readonly #builder: TableBuilder
  readonly #plan: TablePlan
  readonly #header: Header
  /** Column of each field; `undefined` for a field that is ignored. */
  #columns: readonly (Column | undefined)[] | undefined

  /** Present if the first row has another separator. */
  #wrong: WrongSeparator | undefined
  #firstRow: string | undefined

  readonly #size: CsvSize
  /** Number of rows so far, with the header. */
  #taken = 0

  constructor(builder: TableBuilder, plan: TablePlan, header: Header, size: CsvSize) {
    this.#builder = builder
    this.#plan = plan
    this.#header = header
    this.#size = size
  }

  /** Returns nothing, so that the parser keeps no rows. */
  add(fields: readonly string[]): undefined {
    const builder = this.#builder
    const count = this.#countOf(fields)
    if (this.#columns === undefined) {
      this.#checkSeparator(fields)
      if (this.#wrong !== undefined) return
      const isHeader = this.#isHeader(fields)
      this.#columns = isHeader
        ? builder.claimAll(fields, isIndex, count - fields.length)
        : builder.columnsFor(count)
      if (isHeader) return
    }
    const columns = this.#columns
    if (count !== columns.length) {
      const found = countText(count, 'field')
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
    if (row === 0) builder.checkRows(this.#size.rows - this.#taken + 1)
  }

  /** Number of fields of the next row. The parser gets only the first fields of a row too wide. */
  #countOf({ length }: readonly string[]): number {
    const { wide } = this.#size
    return wide?.index === this.#taken++ ? wide.fields : length
  }

  finish(): Table {
    if (this.#wrong !== undefined) throw this.#builder.invalid(this.#wrong.problem)
    return this.#builder.finish()
  }

  /**
   * A file with another separator. The second row is read as well, because it may have decimals
   * with a comma, which the error then names.
   * @throws ServerError 400
   */
  #checkSeparator(fields: readonly string[]): void {
    const known = this.#wrong
    const wrong = known ?? findWrongSeparator(fields, this.#plan)
    if (wrong === undefined) return
    const { isNamed, columns = [] } = this.#plan
    const ownNames = isNamed ? columns.map(({ name }) => name) : []
    const names = this.#firstRow?.split(wrong.separator) ?? ownNames
    const cell = decimalCommaIn(fields, wrong, 1, names)
    if (cell !== '' || known !== undefined) throw this.#builder.invalid(wrong.problem + cell)
    this.#wrong = wrong
    this.#firstRow = fields.join(',')
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
