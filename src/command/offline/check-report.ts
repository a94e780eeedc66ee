/** What `onnxd check` found, and how it prints that. */
import { tableText, wrap } from '../terminal/table.ts'
import { paint, printable } from '../terminal/terminal.ts'
import type { Terminal } from '../terminal/terminal.ts'

/** One key of a configuration, or one problem. */
export interface Finding {
  /** Line of the file, from 1. */
  readonly line?: number
  readonly key: string
  readonly outcome: 'read' | 'changed' | 'ignored'
  readonly text: string
}

/** One model or configuration that was checked. */
export interface Checked {
  readonly subject: string
  readonly kind: string
  /** Whether it can be served or read; `undefined` for a file that is no model. */
  readonly ok: boolean | undefined
  /** What it is, or why it cannot be served. */
  readonly text: string
  readonly remedy?: string
  readonly findings: readonly Finding[]
}

/** One part per subject. */
export function reportText(checked: readonly Checked[], terminal: Terminal): string {
  const parts = checked.map((one) => `${headline(one, terminal)}${findingsText(one, terminal)}`)
  const failed = checked.filter(({ ok }) => ok === false).length
  const models = checked.filter(({ kind, ok }) => kind === 'model' && ok !== undefined).length
  const files =
    checked.length > 1
      ? `\n${summary(checked.filter(({ kind }) => kind !== 'file').length, models, failed)}\n`
      : ''
  return `${parts.join('')}${files}`
}

function summary(all: number, models: number, failed: number): string {
  const subject = models === all ? `${all} models` : `${all} subjects, ${models} of them models`
  return failed === 0 ? `${subject}: no problem.` : `${subject}: ${failed} with a problem.`
}

function headline({ subject, ok, text, remedy }: Checked, terminal: Terminal): string {
  const mark =
    ok === undefined ? '-' : ok ? paint(terminal, 'green', '✓') : paint(terminal, 'red', '✗')
  const width = Math.min(terminal.columns, 100) - 4
  const lines = [...wrap(printable(text), width)]
  if (remedy !== undefined) lines.push(...wrap(`Remedy: ${remedy}`, width))
  return `${mark} ${paint(terminal, 'bold', printable(subject))}\n${lines.map((line) => `    ${line}\n`).join('')}`
}

function findingsText({ findings }: Checked, terminal: Terminal): string {
  if (findings.length === 0) return ''
  return tableText(
    [
      { title: 'LINE', align: 'right' },
      { title: 'KEY' },
      { title: 'RESULT' },
      { title: '', canShrink: !terminal.isTerminal },
    ],
    findings.flatMap(({ line, key, outcome, text }) => {
      // Long reasons continue in the same column, so that nothing is cut.
      const [first = '', ...rest] = wrap(
        printable(text),
        Math.max(30, columnsLeft(findings, terminal)),
      )
      return [
        [line === undefined ? '' : String(line), key, outcome, first],
        ...rest.map((part) => ['', '', '', part]),
      ]
    }),
    terminal,
    '    ',
  )
}

function columnsLeft(findings: readonly Finding[], { columns }: Terminal): number {
  const widest = Math.max(...findings.map(({ key }) => key.length), 3)
  return columns - 4 - 6 - widest - 2 - 9
}
