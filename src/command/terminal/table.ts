/** Aligned tables that fit into the width of the terminal. */
import { paint, printable } from './terminal.ts'
import type { Terminal } from './terminal.ts'

const GAP = '  '
/** A column is not made narrower than this. */
const MIN_WIDTH = 8

/** One column of a table. */
export interface Column {
  readonly title: string
  readonly align?: 'right'
  /** Whether the text is cut when the table is wider than the terminal. */
  readonly canShrink?: boolean
}

/**
 * Returns the lines of a table with a heading. If it is wider than the terminal, the widest columns
 * that can shrink are cut, and `…` marks the cut.
 */
export function tableText(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  terminal: Terminal,
  indent = '',
): string {
  const texts = rows.map((row) => row.map((cell) => printable(cell)))
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...texts.map((row) => (row[index] ?? '').length)),
  )
  shrink(columns, widths, terminal.columns - indent.length)
  const line = (cells: readonly string[]): string =>
    `${indent}${columns
      .map(({ align }, index) => fit(cells[index] ?? '', widths[index] ?? 0, align))
      .join(GAP)
      .trimEnd()}`
  const titles = columns.map(({ title }) => title)
  const hasTitles = titles.some((title) => title !== '')
  const heading = hasTitles ? [paint(terminal, 'bold', line(titles))] : []
  return [...heading, ...texts.map(line)].map((text) => `${text}\n`).join('')
}

/** Returns `name  value` lines with the values in one column; long values continue below. */
export function fieldsText(
  fields: readonly (readonly [name: string, value: string])[],
  terminal: Terminal,
  indent = '',
): string {
  const width = Math.max(0, ...fields.map(([name]) => name.length))
  return fields
    .map(([name, value]) => {
      const space = terminal.columns - indent.length - width - GAP.length
      const lines = wrap(printable(value), Math.max(20, space))
      const rest = `\n${indent}${' '.repeat(width)}${GAP}`
      return `${indent}${paint(terminal, 'bold', name.padEnd(width))}${GAP}${lines.join(rest)}\n`
    })
    .join('')
}

/** Breaks a text at spaces. A word that is longer than a line stays whole, so it can be copied. */
export function wrap(text: string, columns: number): string[] {
  if (text.length <= columns) return [text]
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}

function shrink(columns: readonly Column[], widths: number[], space: number): void {
  let excess =
    widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1) - space
  while (excess > 0) {
    const candidates = columns
      .map(({ canShrink }, index) => ({
        index,
        width: canShrink === true ? (widths[index] ?? 0) : 0,
      }))
      .toSorted((a, b) => b.width - a.width)
    const [widest] = candidates
    if (widest === undefined || widest.width <= MIN_WIDTH) return
    widths[widest.index] = widest.width - 1
    excess -= 1
  }
}

function fit(text: string, width: number, align: 'right' | undefined): string {
  const cut = text.length > width ? `${text.slice(0, width - 1)}…` : text
  return align === 'right' ? cut.padStart(width) : cut.padEnd(width)
}
