/** `onnxd help`, and the help of each command. */
import { wrap } from '../terminal/table.ts'
import type { CommandSpec, FlagSpec } from './command-spec.ts'
import { COMMON_FLAGS, GROUPS, SERVE } from './commands.ts'

/** Longer lines are hard to read, also on a wide terminal. */
const MAX_COLUMNS = 100
const FIRST_COLUMN = 24

/** The first page: one line per command. */
export function mainHelp(columns: number): string {
  const line = ({ usage, summary }: { usage: string; summary: string }): string => {
    const [name = ''] = usage.split(' ', 1)
    return row(name, summary, 14, columns)
  }
  const groups = GROUPS.map(
    ([title, commands]) => `${title}\n${Object.values(commands).map(line).join('')}`,
  )
  return `onnxd serves ONNX models over HTTP.

Usage: onnxd serve [MODEL…] [flags]   serve models, at http://127.0.0.1:8080
       onnxd COMMAND [arguments]

MODEL is a .onnx file, a folder, an archive (.mar, .zip, .tar.gz), or name=path.

Serve
${Object.values(SERVE).map(line).join('')}
${groups.join('\n')}${row('version', 'print the version', 14, columns)}${row('help COMMAND', 'show the flags of a command', 14, columns)}
Every command takes --json and -h.
`
}

/** The page of one command. */
export function commandHelp(spec: CommandSpec, columns: number): string {
  const width = Math.min(columns, MAX_COLUMNS)
  const summary = `${spec.summary.charAt(0).toUpperCase()}${spec.summary.slice(1)}.`
  const details = spec.details === undefined ? '' : `\n${wrap(spec.details, width).join('\n')}\n`
  const flags = [...spec.flags, ...COMMON_FLAGS]
    .map((flag) => row(flagText(flag), flag.text, FIRST_COLUMN, columns))
    .join('')
  const settings = spec.takesSettings === true ? ' [-- SETTINGS]' : ''
  const examples = spec.examples.map((example) => `  onnxd ${example}\n`).join('')
  return `Usage: onnxd ${spec.usage} [flags]${settings}\n\n${summary}\n${details}\nFlags\n${flags}\nExamples\n${examples}`
}

/** Returns a name and its text, which continues in its own column. */
export function row(name: string, text: string, width: number, columns: number): string {
  const space = Math.max(30, Math.min(columns, MAX_COLUMNS) - width - 2)
  const lines = wrap(text, space)
  const isLong = name.length >= width
  const first = isLong ? `  ${name}\n${' '.repeat(width + 2)}` : `  ${name.padEnd(width)}`
  return `${first}${lines.join(`\n${' '.repeat(width + 2)}`)}\n`
}

function flagText({ name, short, value }: FlagSpec): string {
  const long = `--${name}${value === undefined ? '' : ` ${value}`}`
  return short === undefined ? `    ${long}` : `-${short}, ${long}`
}
