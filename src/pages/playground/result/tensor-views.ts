/** Shows output tensors: as a table, as bars of probabilities, or as a vector. */
import type { Tensor } from '../model/description.ts'
import { elementsOf, memberOf, membersOf } from '../model/unknown-json.ts'
import { parseExact, writeExact } from '../request/exact-json.ts'
import type { ExactJson } from '../request/exact-json.ts'
import type { ResultView } from './result-view.ts'

/** A wider output is a vector instead of columns of the table. */
const MAX_COLUMNS = 8
/** Characters of a decimal number in a table. */
const MAX_DIGITS = 8
/** A wider row of numbers is shown as a strip instead of bars. */
const MAX_BARS = 20
/** Rows with bars of their own; a table shows the others. */
const MAX_BAR_ROWS = 3
const TOLERANCE = 0.02

/** @param text The response; its integers may be larger than JavaScript's. */
export function tensorViews(
  text: string,
  value: unknown,
  outputs: readonly Tensor[],
): ResultView[] {
  const present = outputs.filter(({ name }) => memberOf(value, name) !== undefined)
  if (present.length === 0) return []
  const exact = new Map(membersInOrder(text))
  const views: ResultView[] = []
  const columns: Column[] = []
  for (const output of present) {
    const tensor = memberOf(value, output.name)
    const rows = squeezed(tensor)
    const labels = output.labels ?? labelsFor(output, present, rows)
    const scores = scoresOf(rows, labels)
    if (scores !== undefined && scores.length <= MAX_BAR_ROWS) {
      for (const [index, bars] of scores.entries()) {
        const row = scores.length > 1 ? `, row ${index + 1}` : ''
        views.push({ kind: 'bars', title: output.name + row, bars })
      }
      continue
    }
    const cells = columnsOf(output.name, exact.get(output.name), labels)
    if (cells !== undefined) columns.push(...cells)
    else views.push(rowBars(output, rows) ?? vectorOf(output, tensor))
  }
  return [...tablesOf(columns), ...views]
}

/** The only row of an output with some numbers, such as the scores of ten classes. */
function rowBars({ name, datatype, labels }: Tensor, rows: unknown): ResultView | undefined {
  const [row, ...others] = elementsOf(rows)
  const values = elementsOf(row)
  const isRow = others.length === 0 && values.length > 0 && values.length <= MAX_BARS
  if (!datatype.startsWith('FP') || !isRow) return undefined
  if (!values.every((value) => typeof value === 'number')) return undefined
  const bars = values.map((value, index) => ({ label: labels?.[index] ?? String(index), value }))
  return { kind: 'bars', title: name, bars, isOrdered: true }
}

interface Column {
  readonly title: string
  readonly cells: readonly string[]
}

function membersInOrder(text: string): readonly (readonly [string, ExactJson])[] {
  const value = parseExact(text)
  return value.kind === 'object' ? value.members : []
}

/** Removes dimensions of size 1 behind the second one: `[1,1000,1,1]` becomes `[1,1000]`. */
function squeezed(tensor: unknown): unknown {
  return Array.isArray(tensor)
    ? elementsOf(tensor).map((row) => (Array.isArray(row) ? elementsOf(row).map(inner) : row))
    : tensor
}

function inner(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 ? inner(value[0]) : value
}

/** The labels of another output, if it has one for each column. */
function labelsFor(
  output: Tensor,
  outputs: readonly Tensor[],
  rows: unknown,
): readonly string[] | undefined {
  const width = elementsOf(elementsOf(rows)[0]).length
  const others = outputs.filter(
    ({ name, labels }) => name !== output.name && labels?.length === width,
  )
  return others.length === 1 ? others[0]?.labels : undefined
}

/** The rows as bars, if they are probabilities or scores by label. */
function scoresOf(rows: unknown, labels: readonly string[] | undefined) {
  const list = elementsOf(rows)
  const scores = list.map((row) => {
    if (!Array.isArray(row)) {
      const members = Object.entries(membersOf(row))
      return members.every(([, score]) => typeof score === 'number')
        ? members.map(([label, score]) => ({ label, value: Number(score) }))
        : []
    }
    const values = elementsOf(row)
    const isScore = values.every((score) => typeof score === 'number' && score >= 0 && score <= 1)
    const sum = isScore ? values.reduce<number>((total, score) => total + Number(score), 0) : 0
    if (values.length < 2 || Math.abs(sum - 1) > TOLERANCE) return []
    const isLabelled = labels?.length === values.length
    return values.map((score, index) => ({
      label: (isLabelled ? labels[index] : undefined) ?? String(index),
      value: Number(score),
    }))
  })
  return scores.length > 0 && scores.every((row) => row.length > 0) ? scores : undefined
}

/** Columns of an output with few numbers in each row; `undefined` for other outputs. */
function columnsOf(
  name: string,
  tensor: ExactJson | undefined,
  labels: readonly string[] | undefined,
): Column[] | undefined {
  if (tensor === undefined) return undefined
  if (tensor.kind !== 'list') return [{ title: name, cells: [cellOf(tensor)] }]
  const rows = tensor.items
  if (rows.every(isScalar)) return [{ title: name, cells: rows.map(cellOf) }]
  const width = rows[0]?.kind === 'list' ? rows[0].items.length : 0
  const isTable = rows.every(
    (row) => row.kind === 'list' && row.items.length === width && row.items.every(isScalar),
  )
  if (!isTable || width === 0 || width > MAX_COLUMNS) return undefined
  return Array.from({ length: width }, (_, index) => ({
    title: width === 1 ? name : `${name} ${labels?.length === width ? labels[index] : index}`,
    cells: rows.map((row) => {
      const cell = row.kind === 'list' ? row.items[index] : undefined
      return cell === undefined ? '' : cellOf(cell)
    }),
  }))
}

function isScalar({ kind }: ExactJson): boolean {
  return kind !== 'list' && kind !== 'object'
}

/** Integers stay exact. The other digits of a long decimal are in the raw response. */
function cellOf(value: ExactJson): string {
  if (value.kind === 'string') return value.value
  const text = writeExact(value)
  const isLong = value.kind === 'number' && text.length > MAX_DIGITS && /[.e]/i.test(text)
  return isLong ? String(Number(Number(text).toPrecision(MAX_DIGITS - 2))) : text
}

/** One table for the columns with equal numbers of rows. */
function tablesOf(columns: readonly Column[]): ResultView[] {
  const sizes = [...new Set(columns.map(({ cells }) => cells.length))]
  return sizes.map((size) => {
    const own = columns.filter(({ cells }) => cells.length === size)
    return {
      kind: 'table',
      title: 'Outputs',
      columns: own.map(({ title }) => title),
      rows: Array.from({ length: size }, (_, row) => own.map(({ cells }) => cells[row] ?? '')),
    }
  })
}

function vectorOf({ name }: Tensor, tensor: unknown): ResultView {
  const sizes: number[] = []
  for (let part = tensor; Array.isArray(part); part = elementsOf(part)[0]) sizes.push(part.length)
  const values = elementsOf(tensor)
    .flat(Infinity)
    .map((value) => (typeof value === 'number' ? value : Number.NaN))
  return { kind: 'vector', title: `${name} [${sizes.join(',')}]`, values }
}
