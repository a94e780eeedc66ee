/** `onnxd show MODEL`. */
import type { VersionDescription } from '../../models/describe-version.ts'
import { deepCheckText } from '../deep-check-text.ts'
import { memberOf } from '../json.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { fieldsText, tableText } from '../terminal/table.ts'
import { tensorTable } from '../terminal/tensor-table.ts'
import { paint } from '../terminal/terminal.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { sizeText } from '../terminal/units.ts'
import { aboutModel, isDescription, parseReference, pathOf } from './model-list.ts'
import { ServerClient, notOnnxd } from './server-client.ts'

/** Describes one version of a model: the default one, unless another is named. */
export async function showModel(input: CommandInput): Promise<Outcome> {
  const client = new ServerClient(input)
  const reference = parseReference(input.args[0] ?? '')
  const found = await aboutModel(client, reference, () => client.call('GET', pathOf(reference)))
  const data: unknown = Array.isArray(found) ? found[0] : found
  if (!isDescription(data)) throw notOnnxd()
  return { data, text: descriptionText(data, input.terminal) }
}

function descriptionText(model: VersionDescription, terminal: Terminal): string {
  const { workers, jobQueueStatus: queue, settings, metadata, modelConfig = [], deepCheck } = model
  const ready = workers.filter(({ status }) => status === 'READY').length
  const memory = workers.reduce((sum, { memoryUsage }) => sum + memoryUsage, 0)
  const range =
    model.minWorkers === model.maxWorkers
      ? String(model.minWorkers)
      : `${model.minWorkers} to ${model.maxWorkers}`
  const fields: [string, string][] = [
    ['model', `${model.modelName} ${model.modelVersion}`],
    ['source', model.modelUrl],
    ['status', model.status.toLowerCase()],
    ['runtime', model.runtime],
    ['workers', `${ready} ready, ${range} wanted, ${sizeText(memory)}`],
    ['queue', `${queue.pendingRequests} waiting, room for ${queue.remainingCapacity}`],
  ]
  if (model.weights !== undefined) {
    const reason = memberOf(model.weights, 'reason')
    const why = typeof reason === 'string' ? `: ${reason}` : ''
    fields.push(['weights', `${model.weights.state}${why}`])
  }
  const changed = Object.entries(settings).filter(([, { from }]) => from !== 'default')
  const parts = [
    fieldsText(fields, terminal),
    section('Inputs', tensorTable(memberOf(metadata, 'inputs'), terminal), terminal),
    section('Outputs', tensorTable(memberOf(metadata, 'outputs'), terminal), terminal),
    section(
      'Settings that differ from the defaults',
      tableText(
        [{ title: '' }, { title: '', canShrink: true }, { title: '' }],
        changed.map(([name, { value, from }]) => [name, JSON.stringify(value), `from ${from}`]),
        terminal,
        '  ',
      ),
      terminal,
    ),
    section(
      'Keys of config.pbtxt',
      tableText(
        [{ title: '' }, { title: '' }, { title: '', canShrink: true }],
        modelConfig.map(({ key, outcome, text }) => [key, outcome, text]),
        terminal,
        '  ',
      ),
      terminal,
    ),
  ]
  if (deepCheck !== undefined)
    parts.push(section('Deep check', deepCheckText(deepCheck, terminal), terminal))
  return parts.filter((part) => part !== '').join('\n')
}

function section(title: string, content: string, terminal: Terminal): string {
  return content === '' ? '' : `${paint(terminal, 'bold', title)}\n${content}`
}
