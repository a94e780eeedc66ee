/** Reads tables as trees. */
import { parseJson } from './json.ts'

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
/** An integer with more digits may not be exact as a number. */
const LONG_INTEGER = /^[+-]?\d{16,}$/
const MAX_COLUMNS = 10_000
/** A table with such a column is a list of labels or detections. */
const SCORES: ReadonlySet<string> = new Set(['score', 'probability'])
/** The name of a column that is one of several for an output. */
const NUMBERED = /^(.+)_(\d{1,6})$/

type Cell = number | string
type Row = readonly Cell[]

/**
 * A list for each output, by its name in the first line; columns such as `y_0` and `y_1` are one
 * output. A table of labels or detections becomes a list of objects. A text whose lines do not have
 * the same number of cells stays a text.
 */
export function treeOfCsv(text: string): unknown {
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  const rows = lines.map((line) => line.split(','))
  const [names = []] = rows
  if (names.length > MAX_COLUMNS || rows.some(({ length }) => length !== names.length)) return text
  const hasNames = !names.some((name) => NUMBER.test(name))
  const cells = (hasNames ? rows.slice(1) : rows).map((row) => row.map(cellOf))
  if (!hasNames) return cells
  return names.some((name) => SCORES.has(name)) ? entriesOf(names, cells) : outputsOf(names, cells)
}

/** A list of the values of all lines. */
export function treeOfLines(text: string): unknown {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => parseJson(Buffer.from(line)))
}

function entriesOf(names: readonly string[], rows: readonly Row[]): unknown {
  return rows.map((row) => Object.fromEntries(names.map((name, column) => [name, row[column]])))
}

function outputsOf(names: readonly string[], rows: readonly Row[]): unknown {
  const columns = new Map<string, number[]>()
  for (const [column, name] of names.entries()) {
    const [, base, number] = NUMBERED.exec(name) ?? []
    const known = columns.get(base ?? '') ?? []
    const isNext = base !== undefined && Number(number) === known.length
    if (isNext) columns.set(base, [...known, column])
    else columns.set(name, [column])
  }
  return Object.fromEntries(
    [...columns].map(([name, indices]) => [
      name,
      rows.map((row) => {
        const [first, ...others] = indices.map((column) => row[column])
        return others.length === 0 ? first : [first, ...others]
      }),
    ]),
  )
}

function cellOf(text: string): Cell {
  return NUMBER.test(text) && !LONG_INTEGER.test(text) ? Number(text) : text
}
