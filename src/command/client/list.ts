/** `onnxd list` and `onnxd ps`. */
import { memberOf } from '../json.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { bar } from '../terminal/status-line.ts'
import { tableText } from '../terminal/table.ts'
import { paint, printable } from '../terminal/terminal.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { durationText, sizeText } from '../terminal/units.ts'
import { describeModels, listAll } from './model-list.ts'
import type { ListedVersion, ModelList } from './model-list.ts'
import { ServerClient } from './server-client.ts'

const BAR_WIDTH = 20

/** `onnxd list`: one line per version, then loads, transfers and failures. */
export async function listModels(input: CommandInput): Promise<Outcome> {
  const client = new ServerClient(input)
  const list = await listAll(client)
  const versions = await describeModels(client, list.names)
  const { terminal } = input
  const parts = [versionTable(versions, terminal), otherText(list, terminal)]
  const text = parts.filter((part) => part !== '').join('\n')
  const { loading, failed, transfers } = list
  return {
    data: { models: versions.map(summaryOf), loading, failed, transfers },
    text: text === '' ? 'No models. Add one with onnxd load.\n' : text,
  }
}

/** `onnxd ps`: one line per worker. */
export async function listWorkers(input: CommandInput): Promise<Outcome> {
  const client = new ServerClient(input)
  const { names } = await listAll(client)
  const versions = await describeModels(client, names)
  const rows = versions.flatMap(({ modelName, modelVersion, workers }) =>
    workers.map((worker) => ({ model: modelName, version: modelVersion, ...worker })),
  )
  const table = tableText(
    [
      { title: 'MODEL', canShrink: true },
      { title: 'VERSION', canShrink: true },
      { title: 'WORKER', align: 'right' },
      { title: 'PID', align: 'right' },
      { title: 'STATUS' },
      { title: 'MEMORY', align: 'right' },
      { title: 'UP', align: 'right' },
      { title: 'RESTARTS', align: 'right' },
    ],
    rows.map(({ model, version, id, pid, status, startTime, restarts, ...worker }) => [
      model,
      version,
      id,
      pid === undefined ? '-' : String(pid),
      status.toLowerCase(),
      worker.memoryUsage > 0 ? sizeText(worker.memoryUsage) : '-',
      durationText(Math.max(0, Date.now() - Date.parse(startTime))),
      String(restarts),
    ]),
    input.terminal,
  )
  const failures = rows.flatMap(({ model, version, id, lastFailure }) =>
    lastFailure === undefined
      ? []
      : [`${model}:${version} worker ${id}: ${printable(lastFailure)}\n`],
  )
  const last = failures.length === 0 ? '' : `\nLast failures\n${failures.join('')}`
  return {
    data: { workers: rows },
    text: rows.length === 0 ? 'No workers.\n' : `${table}${last}`,
  }
}

function versionTable(versions: readonly ListedVersion[], terminal: Terminal): string {
  if (versions.length === 0) return ''
  return tableText(
    [
      { title: 'MODEL', canShrink: true },
      { title: 'VERSION', canShrink: true },
      { title: 'STATUS' },
      { title: 'WORKERS', align: 'right' },
      { title: 'QUEUE', align: 'right' },
      { title: 'BATCH', align: 'right' },
      { title: 'MEMORY', align: 'right' },
      { title: 'SOURCE', canShrink: true },
    ],
    versions.map((version) => [
      version.modelName,
      `${version.modelVersion}${version.isDefault ? ' *' : ''}`,
      version.status.toLowerCase(),
      `${readyWorkers(version)}/${version.minWorkers}`,
      String(version.jobQueueStatus.pendingRequests),
      String(version.batchSize),
      sizeText(version.workers.reduce((sum, { memoryUsage }) => sum + memoryUsage, 0)),
      version.modelUrl,
    ]),
    terminal,
  )
}

function summaryOf(version: ListedVersion): unknown {
  const { modelName, modelVersion, isDefault, status, modelUrl, minWorkers, batchSize } = version
  return {
    modelName,
    modelVersion,
    isDefault,
    status,
    modelUrl,
    workers: { ready: readyWorkers(version), wanted: minWorkers },
    pendingRequests: version.jobQueueStatus.pendingRequests,
    batchSize,
  }
}

function readyWorkers({ workers }: ListedVersion): number {
  return workers.filter(({ status }) => status === 'READY').length
}

/** Models that are not served: those that load, arrive or failed. */
function otherText({ loading, failed, transfers }: ModelList, terminal: Terminal): string {
  const lines: string[] = []
  for (const load of loading) {
    const seconds = memberOf(load, 'seconds')
    const time = typeof seconds === 'number' ? ` for ${durationText(seconds * 1000)}` : ''
    const version = member(load, 'modelVersion')
    lines.push(
      `${paint(terminal, 'yellow', 'loading')}   ${member(load, 'modelName')} ${version}${time}`,
    )
  }
  for (const transfer of transfers) {
    const [bytes, total] = [
      Number(member(transfer, 'bytes')),
      Number(member(transfer, 'totalBytes')),
    ]
    const name = member(transfer, 'fileName') || member(transfer, 'modelUrl')
    const size = total > 0 ? `${sizeText(bytes)} of ${sizeText(total)}` : sizeText(bytes)
    const shown = total > 0 ? `${bar(bytes / total, BAR_WIDTH)} ` : ''
    lines.push(
      `${paint(terminal, 'yellow', `${member(transfer, 'kind')}  `)}  ${shown}${size}  ${name}`,
    )
  }
  for (const failure of failed) {
    const name = member(failure, 'modelName') || member(failure, 'modelUrl')
    lines.push(`${paint(terminal, 'red', 'failed')}    ${name}: ${member(failure, 'reason')}`)
  }
  return lines.map((line) => `${line}\n`).join('')
}

function member(value: unknown, name: string): string {
  const found = memberOf(value, name)
  return typeof found === 'string' || typeof found === 'number' ? printable(String(found)) : ''
}
