/** What `onnxd archive` prints. */
import type { Outcome } from '../../program/outcome.ts'
import { fieldsText, tableText } from '../../terminal/table.ts'
import type { Terminal } from '../../terminal/terminal.ts'
import { plural, sizeText } from '../../terminal/units.ts'
import type { ArchivedFile } from './file-list.ts'
import type { ArchivedHandler } from './handler.ts'

const MAX_SHOWN_FILES = 20
const MAX_SHOWN_LEFT_OUT = 8

/** An archive, and what is in it. */
export interface MadeArchive {
  readonly file: string
  readonly name: string
  readonly version: string
  readonly handler: ArchivedHandler
  readonly runtime: string
  readonly files: readonly ArchivedFile[]
  readonly leftOut: readonly string[]
  readonly bytes: number
  readonly sha256: string
}

/** The facts for programs and for people. */
export function archiveOutcome(made: MadeArchive, terminal: Terminal): Outcome {
  const { file, name, version, handler, runtime, files, leftOut, bytes, sha256 } = made
  const total = files.reduce((sum, one) => sum + one.bytes, 0)
  const fields: [string, string][] = [
    ['model', `${name} ${version}`],
    ['handler', handler.kind === 'code' ? handler.handler : `${handler.handler}, ${handler.kind}`],
    ['size', `${sizeText(bytes)}, with ${plural(files.length, 'file')} of ${sizeText(total)}`],
    ['sha256', sha256],
  ]
  if (leftOut.length > 0) fields.push(['left out', listed(leftOut, MAX_SHOWN_LEFT_OUT)])
  if (!runtime.startsWith('python'))
    fields.push(['runtime', `${runtime}, for onnxd only; MMS and TorchServe need --runtime python`])
  const rows = files
    .slice(0, MAX_SHOWN_FILES)
    .map((one): [string, string] => [one.name, sizeText(one.bytes)])
  const columns = [
    { title: '', canShrink: true },
    { title: '', align: 'right' },
  ] as const
  const rest = files.length - rows.length
  const more = rest > 0 ? `  and ${plural(rest, 'more file')}\n` : ''
  const allows = handler.kind === 'built in' ? '' : ' -- --allow-handlers'
  const python = runtime.startsWith('python') && /\.py(?::|$)|^\w+$/.test(handler.handler)
  const settings = python && allows !== '' ? `${allows} --python ENVIRONMENT` : allows
  const shown = files.map((one) => ({ name: one.name, bytes: one.bytes }))
  return {
    data: {
      file,
      name,
      version,
      handler: handler.handler,
      runtime,
      bytes,
      sha256,
      files: shown,
      leftOut,
    },
    text: `${file} is written.\n\n${fieldsText(fields, terminal)}\nFiles\n${tableText(columns, rows, terminal, '  ')}${more}\nCheck that it loads: onnxd check ${file}${settings}\n`,
  }
}

function listed(names: readonly string[], most: number): string {
  const shown = names.slice(0, most).join(', ')
  return names.length > most ? `${shown} and ${names.length - most} more` : shown
}
