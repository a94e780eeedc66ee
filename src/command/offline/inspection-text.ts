/** Prints what `onnxd inspect` found. */
import { unknownRequest } from '../ready-message.ts'
import { fieldsText } from '../terminal/table.ts'
import { tensorTable } from '../terminal/tensor-table.ts'
import { paint } from '../terminal/terminal.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { countText, durationText, plural, sizeText } from '../terminal/units.ts'
import type { ExternalFile, Inspection } from './inspection.ts'

/** Rarer operators are counted together. */
const MAX_OPERATORS = 12

/** The page of one version. */
export function inspectionText(inspection: Inspection, terminal: Terminal): string {
  const { curl, load, response } = inspection
  const parts = [
    fieldsText(fieldsOf(inspection), terminal),
    section('Inputs', tensorTable(inspection.inputs, terminal), terminal),
    section('Outputs', tensorTable(inspection.outputs, terminal), terminal),
    section('External files', externalText(inspection.file?.external ?? []), terminal),
  ]
  if (curl !== undefined || load?.ok === true) {
    const note = response === undefined ? '' : `  ${response}\n`
    const request = curl ?? unknownRequest(inspection.model)
    parts.push(section('Request, after onnxd serve', `  ${request}\n${note}`, terminal))
  }
  if (load?.ok === false) {
    parts.push(
      `${paint(terminal, 'red', 'Cannot be served:')} ${load.reason ?? 'unknown reason'}\n`,
    )
  }
  return parts.filter((part) => part !== '').join('\n')
}

function fieldsOf({
  model,
  version,
  runtime,
  handler,
  file,
  load,
}: Inspection): [string, string][] {
  const fields: [string, string][] = [['model', `${model} ${version}`]]
  const isUsual = runtime === 'node' && handler === 'onnx'
  if (!isUsual) fields.push(['handler', `${handler} (${runtime})`])
  if (file !== undefined) {
    fields.push(['file', `${file.name}, ${sizeText(file.bytes)}`])
    const { summary } = file
    if (summary !== undefined) {
      const sets = Object.entries(summary.operatorSets).map(([name, number]) => `${name} ${number}`)
      if (summary.producer !== '') fields.push(['made by', summary.producer])
      fields.push(['opset', `${sets.join(', ')} (IR version ${summary.irVersion})`])
      fields.push(['weights', plural(summary.parameters, 'value')])
      fields.push(['operators', operatorsText(summary.operators)])
    }
  }
  if (load?.batching !== undefined) fields.push(['batching', load.batching])
  if (load?.ms !== undefined) {
    fields.push([
      'loads in',
      `${durationText(load.ms)}, ${sizeText(load.memoryBytes ?? 0)} of memory`,
    ])
  }
  return fields
}

function operatorsText(operators: readonly (readonly [string, number])[]): string {
  const total = operators.reduce((sum, [, count]) => sum + count, 0)
  const shown = operators
    .slice(0, MAX_OPERATORS)
    .map(([name, count]) => `${name} ${countText(count)}`)
  const others = operators.length - shown.length
  if (others > 0) shown.push(`${others} more kinds`)
  return `${countText(total)}: ${shown.join(', ')}`
}

function externalText(files: readonly ExternalFile[]): string {
  return files
    .map(({ name, bytes }) => `  ${name}  ${bytes === undefined ? 'missing' : sizeText(bytes)}\n`)
    .join('')
}

function section(title: string, content: string, terminal: Terminal): string {
  return content === '' ? '' : `${paint(terminal, 'bold', title)}\n${content}`
}
