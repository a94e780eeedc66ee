/** What `onnxd check` found, and how it prints that. */
import type { DeepCheckReport } from '../../models/deep-check/deep-check.ts'
import { deepCheckText } from '../deep-check-text.ts'
import { tableText, wrap } from '../terminal/table.ts'
import { paint, printable } from '../terminal/terminal.ts'
import type { Terminal } from '../terminal/terminal.ts'

const MAX_COLUMNS = 140
const INDENT = '    '
/** The columns of the line and the result, with gaps. */
const BEFORE_TEXT = 15

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
  /** Whether it can be served or read; `undefined` for a file that is not a model. */
  readonly ok: boolean | undefined
  /** What the file is, or why it cannot be served. */
  readonly text: string
  readonly remedy?: string
  readonly findings: readonly Finding[]
  /** Results of `--deep`, one for each version. */
  readonly deep?: readonly DeepResult[]
}

/** The deep check of one version. */
export interface DeepResult {
  readonly model: string
  readonly version: string
  readonly report: DeepCheckReport
}

/** One part per subject. */
export function reportText(checked: readonly Checked[], terminal: Terminal): string {
  const parts = checked.map(
    (one) => `${headline(one, terminal)}${findingsText(one, terminal)}${deepText(one, terminal)}`,
  )
  const failed = checked.filter(({ ok }) => ok === false).length
  const models = checked.filter(({ kind, ok }) => kind === 'model' && ok !== undefined).length
  const files =
    checked.length > 1
      ? `\n${summary(checked.filter(({ kind }) => kind !== 'file').length, models, failed)}\n`
      : ''
  return `${parts.join('')}${files}`
}

function deepText({ deep = [] }: Checked, terminal: Terminal): string {
  return deep
    .map(({ model, version, report }) => {
      const title = paint(terminal, 'bold', printable(`${model} ${version}`))
      return `\n${INDENT}${title}\n${deepCheckText(report, terminal, INDENT)}`
    })
    .join('')
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

/** Long reasons continue in the same column, so that nothing is cut. */
function findingsText({ findings }: Checked, terminal: Terminal): string {
  if (findings.length === 0) return ''
  const columns = Math.max(
    40,
    Math.min(terminal.columns, MAX_COLUMNS) - INDENT.length - BEFORE_TEXT,
  )
  return tableText(
    [{ title: 'LINE', align: 'right' }, { title: 'RESULT' }, { title: 'KEY' }],
    findings.flatMap(({ line, key, outcome, text }) => {
      const [first = '', ...rest] = wrap(printable(`${key}: ${text}`), columns)
      return [
        [line === undefined ? '' : String(line), outcome, first],
        ...rest.map((part) => ['', '', part]),
      ]
    }),
    terminal,
    INDENT,
  )
}
