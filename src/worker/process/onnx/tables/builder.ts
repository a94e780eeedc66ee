import { closestName } from '../../../../closest-name.ts'
import { ServerError } from '../../../../errors.ts'
import { exportedName } from '../table-columns.ts'
import { countText, quote } from '../tensors/error-text.ts'
import { batchError } from '../tensors/shape.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { ElementStore } from './element-store.ts'
import { columnText, columnsOfOne, extraAdvice, listText } from './plan.ts'
import type { Column, TablePlan } from './plan.ts'

const MAX_IGNORED = 100
const NEVER = -1

/** The tensors of a table. */
export interface Table {
  readonly inputs: readonly Tensor[]
  /** Names of columns that were ignored, at most 100. */
  readonly ignored: readonly string[]
}

/**
 * Builds tensors from the cells of a table. Columns are found by name or by position. Rows are
 * numbered from 1 in error texts.
 */
export class TableBuilder {
  readonly #plan: TablePlan
  readonly #maxCells: number
  readonly #rowLabel: string
  #columns: readonly Column[] | undefined
  #stores: readonly ElementStore[] = []
  /** Made for the first name: a table without a header needs none. */
  #byName: ReadonlyMap<string, Column> | undefined
  /** The last row in which each column had a value. */
  #lastRows = new Int32Array(0)
  #row = NEVER
  #rows = 0
  /** Cells of the current row so far. */
  #filled = 0
  readonly #ignored = new Set<string>()

  /**
   * @param rowLabel How error texts name a row: `CSV row`, `record`.
   * @param maxCells Maximum number of rows times columns. Records may leave columns out, so a short
   * body could otherwise become large tensors.
   */
  constructor(plan: TablePlan, rowLabel: string, maxCells: number) {
    this.#plan = plan
    this.#rowLabel = rowLabel
    this.#maxCells = maxCells
    if (plan.columns !== undefined) this.#useColumns(plan.columns)
  }

  /** Number of rows so far. */
  get rows(): number {
    return this.#rows
  }

  /** Index of the current row. */
  get row(): number {
    return this.#row
  }

  /** The columns in the model's order; absent until the first row has decided their number. */
  get columns(): readonly Column[] | undefined {
    return this.#columns
  }

  /** Returns the column with this name, or `undefined` if the model has none. */
  find(name: string): Column | undefined {
    const byName = (this.#byName ??= new Map(this.#columns?.map((one) => [one.name, one])))
    const column = byName.get(name)
    // Exporters change the names of inputs, but not those in "columns" of `model.json`.
    if (column !== undefined || this.#plan.inputs.length === 1) return column
    return byName.get(exportedName(name))
  }

  /**
   * Returns the column with this name; `undefined` for an extra column that is to be ignored.
   * @throws ServerError 400 for an extra column, unless the model ignores them
   */
  claim(name: string): Column | undefined {
    const column = this.find(name)
    if (column === undefined) this.#passOver(name)
    return column
  }

  /**
   * Finds the columns of a header, which must have every column of the model once. Columns without
   * names are taken in their order.
   * @param isIndex Whether a name belongs to the index of a pandas table.
   * @param more Number of further names, which are too many in any case.
   */
  claimAll(
    names: readonly string[],
    isIndex: (name: string, position: number) => boolean,
    more = 0,
  ): readonly (Column | undefined)[] {
    if (!this.#plan.isNamed) {
      const data = names.filter((name, position) => !isIndex(name, position))
      const columns = this.columnsFor(data.length + more).values()
      return names.map((name, at) => (isIndex(name, at) ? undefined : columns.next().value))
    }
    const seen = new Set<Column>()
    const found = names.map((name, position) => {
      const known = this.find(name)
      if (known === undefined) return isIndex(name, position) ? undefined : this.claim(name)
      if (seen.has(known)) throw this.invalid(`Column ${quote(name)} occurs twice.`)
      seen.add(known)
      return known
    })
    this.#checkPresent((column) => seen.has(column))
    return found
  }

  /**
   * Returns the columns by position.
   * @throws ServerError 400 when the number differs from the model's
   */
  columnsFor(count: number): readonly Column[] {
    if (this.#columns === undefined) this.#useColumns(columnsOfOne(count))
    const columns = this.#columns ?? []
    if (columns.length === count) return columns
    throw this.invalid(
      `${this.label(this.#rows)} has ${countText(count, 'value')}, but ${this.#columnText()}.`,
    )
  }

  /** Begins a new row, and returns its index. */
  startRow(): number {
    return this.enterRow(this.#rows)
  }

  /** Continues an existing row, or begins the next one. */
  enterRow(row: number): number {
    this.#row = row
    this.#filled = 0
    if (row < this.#rows) return row
    this.#rows = row + 1
    this.#checkCells(row + 1)
    for (const store of this.#stores) store.reserve(row)
    return row
  }

  /**
   * Checks the number of all rows before they are read.
   * @throws ServerError the error that the table or its request would get after all rows
   */
  checkRows(rows: number): void {
    this.#checkCells(rows)
    for (const store of this.#stores) store.shapeOf(rows)
    const { maxBatchSize } = this.#plan
    if (maxBatchSize > 0 && rows > maxBatchSize) throw batchError(rows, maxBatchSize)
  }

  /** The store of a column of the current row. A column has one value in each row. */
  take(column: Column): ElementStore {
    if (this.#lastRows[column.position] === this.#row) {
      throw this.invalid(`${this.label(this.#row)} has the column ${quote(column.name)} twice.`)
    }
    this.#lastRows[column.position] = this.#row
    this.#filled++
    const store = this.#stores[column.input]
    if (store === undefined) throw new TypeError('a column without an input')
    return store
  }

  /** Ends a row whose columns came by name: columns that did not come are missing values. */
  endRow(): void {
    const columns = this.#columns ?? []
    if (this.#filled === columns.length) return
    for (const column of columns) {
      if (this.#lastRows[column.position] === this.#row) continue
      const problem = this.#stores[column.input]?.missing(this.#row, column.offset)
      if (problem !== undefined) throw this.cellError(column, problem)
    }
  }

  cellError(column: Column, problem: string): ServerError {
    return this.invalid(`${this.label(this.#row)}, column ${quote(column.name)}: ${problem}.`)
  }

  /** For example `CSV row 3`; the first row has the index 0. */
  label(row: number): string {
    return `${this.#rowLabel} ${row + 1}`
  }

  invalid(message: string): ServerError {
    const text = message.charAt(0).toUpperCase() + message.slice(1)
    return new ServerError('InvalidInputException', text)
  }

  /**
   * Returns the tensors.
   * @throws ServerError 400 when there is no row, or a column has no value in any row
   */
  finish(): Table {
    if (this.#rows === 0) throw this.invalid(`The table has no rows; ${this.#columnText()}.`)
    this.#checkPresent(({ position }) => this.#lastRows[position] !== NEVER)
    return {
      inputs: this.#stores.map((store) => store.toTensor(this.#rows)),
      ignored: [...this.#ignored],
    }
  }

  #checkCells(rows: number): void {
    if (rows * Math.max(this.#columns?.length ?? 1, 1) <= this.#maxCells) return
    throw new ServerError(
      'PayloadTooLargeException',
      `The table has more than ${this.#maxCells} cells (rows times columns); send it in parts.`,
    )
  }

  #useColumns(columns: readonly Column[]): void {
    this.#columns = columns
    const { inputs } = this.#plan
    const [only, ...others] = inputs
    this.#stores =
      only !== undefined && others.length === 0
        ? [new ElementStore(only, columns.length)]
        : inputs.map((spec) => new ElementStore(spec, 1))
    this.#byName = undefined
    this.#lastRows = new Int32Array(columns.length).fill(NEVER)
  }

  #passOver(name: string): void {
    if (this.#plan.ignoresExtraColumns) {
      if (this.#ignored.size < MAX_IGNORED) this.#ignored.add(name)
      return
    }
    const names = (this.#columns ?? []).map((column) => column.name)
    const closest = this.#plan.isNamed ? closestName(name, names.slice(0, 1000)) : undefined
    const hint = closest === undefined ? '' : ` Did you mean ${quote(closest)}?`
    throw this.invalid(
      `Unknown column ${quote(name)}; ${this.#columnText()}.${hint} ${extraAdvice(name, this.#plan)}`,
    )
  }

  #checkPresent(isPresent: (column: Column) => boolean): void {
    const missing = (this.#columns ?? []).filter((column) => !isPresent(column))
    if (missing.length === 0) return
    const names = listText(missing.map(({ name }) => name))
    throw this.invalid(
      `Missing ${missing.length === 1 ? 'column' : 'columns'} ${names}; ${this.#columnText()}.`,
    )
  }

  #columnText(): string {
    return columnText(this.#plan, this.#columns)
  }
}
