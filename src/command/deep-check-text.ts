/** Prints the result of a deep check, for `onnxd check --deep` and `onnxd show`. */
import type { DeepCheckReport } from '../models/deep-check/deep-check.ts'
import { tableText, wrap } from './terminal/table.ts'
import { paint, printable } from './terminal/terminal.ts'
import type { StyleName, Terminal } from './terminal/terminal.ts'
import { countText, durationText } from './terminal/units.ts'

const MAX_COLUMNS = 100
const SUBJECT_WIDTH = 12

type Finding = DeepCheckReport['findings'][number]

const MARKS: Readonly<Record<Finding['level'], readonly [mark: string, style: StyleName]>> = {
  ok: ['✓', 'green'],
  note: ['-', 'dim'],
  warning: ['!', 'yellow'],
  problem: ['✗', 'red'],
}

/** Lines with an indent: findings, speeds, and settings for `model.json`. */
export function deepCheckText(
  { status, seconds, findings, speeds, suggestion }: DeepCheckReport,
  terminal: Terminal,
  indent = '  ',
): string {
  if (status === 'waiting') return `${indent}waiting for another check\n`
  const head = status === 'running' ? `${indent}running\n` : ''
  const took = seconds === undefined || status === 'running' ? '' : `${indent}took ${seconds} s\n`
  const lines = findings.map((finding) => findingText(finding, terminal, indent)).join('')
  const table =
    speeds.length === 0
      ? ''
      : `\n${tableText(
          [
            { title: 'THREADS', align: 'right' },
            { title: 'BATCH', align: 'right' },
            { title: 'REQUESTS/S', align: 'right' },
            { title: 'TIME PER BATCH', align: 'right' },
          ],
          speeds.map(({ threads, batch, requestsPerSecond, msPerBatch }) => [
            String(threads),
            String(batch),
            countText(requestsPerSecond),
            durationText(msPerBatch),
          ]),
          terminal,
          indent,
        )}`
  return `${head}${lines}${table}${suggestionText(suggestion, terminal, indent)}${took}`
}

function findingText(
  { level, subject, text }: Finding,
  terminal: Terminal,
  indent: string,
): string {
  const [mark, style] = MARKS[level]
  const space = Math.min(terminal.columns, MAX_COLUMNS) - indent.length - SUBJECT_WIDTH - 4
  const [first = '', ...rest] = wrap(printable(text), Math.max(30, space))
  const name = subject.padEnd(SUBJECT_WIDTH)
  const below = `${indent}${' '.repeat(SUBJECT_WIDTH + 4)}`
  const others = rest.map((line) => `${below}${line}\n`).join('')
  return `${indent}${paint(terminal, style, mark)} ${name}  ${first}\n${others}`
}

function suggestionText(
  suggestion: DeepCheckReport['suggestion'],
  terminal: Terminal,
  indent: string,
): string {
  if (suggestion === undefined) return ''
  const space = Math.min(terminal.columns, MAX_COLUMNS) - indent.length
  const reasons = suggestion.reasons.flatMap((reason) => wrap(reason, space))
  const title = paint(terminal, 'bold', 'Suggested model.json')
  const lines = [title, JSON.stringify(suggestion.settings), ...reasons]
  return `\n${lines.map((line) => `${indent}${line}\n`).join('')}`
}
