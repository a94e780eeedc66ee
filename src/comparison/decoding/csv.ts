/** Reads tables as trees: one list for each column, or one value for each line. */
import { parseJson } from './json.ts'

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
const MAX_COLUMNS = 10_000

/**
 * A list for each column, by the name in the first line. A text whose lines do not have the same
 * number of cells stays a text.
 */
export function treeOfCsv(text: string): unknown {
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  const rows = lines.map((line) => line.split(','))
  const [names = []] = rows
  if (names.length > MAX_COLUMNS || rows.some(({ length }) => length !== names.length)) return text
  const hasNames = !names.some((name) => NUMBER.test(name))
  const body = hasNames ? rows.slice(1) : rows
  return Object.fromEntries(
    names.map((name, column) => [
      hasNames ? name : `column ${column + 1}`,
      body.map((row) => cellOf(row[column] ?? '')),
    ]),
  )
}

/** A list of the values of all lines. */
export function treeOfLines(text: string): unknown {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => parseJson(Buffer.from(line)))
}

function cellOf(text: string): number | string {
  return NUMBER.test(text) && text.length < 16 ? Number(text) : text
}
