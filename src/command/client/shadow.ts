/** `onnxd shadow MODEL`: how the responses of a shadow version differ from those of clients. */
import { Readable } from 'node:stream'
import { ConfigError } from '../../errors.ts'
import type { OutputReport, ShadowReport, WorstRequest } from '../../models/shadow/report.ts'
import { memberOf } from '../json.ts'
import { textFlag } from '../program/outcome.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { bar } from '../terminal/status-line.ts'
import { fieldsText, tableText } from '../terminal/table.ts'
import { printable } from '../terminal/terminal.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { countText, durationText, plural } from '../terminal/units.ts'
import { aboutModel } from './model-list.ts'
import type { ModelReference } from './model-list.ts'
import { ServerClient, notOnnxd } from './server-client.ts'

const BAR_WIDTH = 20

/** Shows the report; with a flag it sets or removes the shadow first. */
export async function shadowModel(input: CommandInput): Promise<Outcome> {
  const [name = ''] = input.args
  const client = new ServerClient(input)
  const reference: ModelReference = { name, version: undefined }
  const route = `/models/${encodeURIComponent(name)}/shadow`
  const version = textFlag(input, 'to')
  const isRemoved = input.flags['off'] === true
  if (isRemoved && version !== undefined) throw new ConfigError('Use --to or --off, not both.')
  if (version === undefined && textFlag(input, 'share') !== undefined)
    throw new ConfigError('--share needs --to, the version that gets the copies.')
  return aboutModel(client, reference, async () => {
    if (isRemoved) {
      const data = await client.call('DELETE', route)
      return { data, text: `${printable(name)} has no shadow any more.\n` }
    }
    if (version !== undefined) await client.call('PUT', route, bodyOf(version, shareOf(input)))
    const data = await client.call('GET', route)
    if (!isReport(data)) throw notOnnxd()
    return { data, text: reportText(name, data, input.terminal) }
  })
}

function bodyOf(
  version: string,
  share: number,
): { headers: Record<string, string | number>; stream: Readable } {
  const body = Buffer.from(JSON.stringify({ version, share }))
  const headers = { 'content-type': 'application/json', 'content-length': body.length }
  return { headers, stream: Readable.from([body]) }
}

/** @throws ConfigError for a share that is not above 0 and at most 1. */
function shareOf(input: CommandInput): number {
  const text = textFlag(input, 'share') ?? '1'
  const share = /^(?:\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : 0
  if (share > 0 && share <= 1) return share
  const problem = `--share must be a number above 0 and at most 1, not ${JSON.stringify(text)}.`
  throw new ConfigError(problem)
}

function reportText(name: string, report: ShadowReport, terminal: Terminal): string {
  const { version, share, outputs, worst } = report
  const head = `${printable(name)} ${printable(version)} gets copies of ${percent(share)} of the requests\n\n`
  const parts = [
    head + fieldsText(fieldsOf(report), terminal),
    outputTable(outputs, terminal),
    worstTable(worst, terminal),
  ]
  return parts.filter((part) => part !== '').join('\n')
}

function fieldsOf(report: ShadowReport): [string, string][] {
  const { copied, failed, compared, agreed, identical, running, agreement, latencyMs } = report
  const skipped = Object.entries(report.skipped)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${countText(count)} ${reason.replaceAll('_', ' ')}`)
  const { reference, shadow } = latencyMs
  const times =
    shadow.count === 0
      ? 'none yet'
      : `p50 ${durationText(shadow.p50)}, p99 ${durationText(shadow.p99)}; reference p50 ${durationText(reference.p50)}, p99 ${durationText(reference.p99)}`
  return [
    ['copied', `${plural(copied, 'request')}, ${countText(running)} running`],
    ['skipped', skipped.length === 0 ? 'none' : skipped.join(', ')],
    ['compared', `${countText(compared)}, of them ${countText(identical)} identical`],
    ['agreed', `${countText(agreed)}${agreement === undefined ? '' : ` (${percent(agreement)})`}`],
    ['failed', countText(failed)],
    ['latency', times],
  ]
}

function outputTable(outputs: readonly OutputReport[], terminal: Terminal): string {
  if (outputs.length === 0) return ''
  return tableText(
    [
      { title: 'OUTPUT', canShrink: true },
      { title: 'RULE' },
      { title: 'AGREED', align: 'right' },
      { title: 'LARGEST', align: 'right' },
      { title: '' },
    ],
    outputs.map(({ name, kind, agreed, compared, largest }) => [
      name,
      kind,
      `${countText(agreed)} of ${countText(compared)}`,
      largest.toPrecision(3),
      bar(compared === 0 ? 0 : agreed / compared, BAR_WIDTH),
    ]),
    terminal,
  )
}

function worstTable(worst: readonly WorstRequest[], terminal: Terminal): string {
  if (worst.length === 0) return ''
  return tableText(
    [
      { title: 'WORST REQUEST', canShrink: true },
      { title: 'TIME' },
      { title: 'DIFFERENCE', align: 'right' },
      { title: 'SHA-256' },
      { title: 'REASON', canShrink: true },
    ],
    worst.map(({ requestId, time, difference, sha256, reason = 'within the tolerance' }) => [
      requestId,
      time,
      difference.toPrecision(3),
      sha256.slice(0, 12),
      reason,
    ]),
    terminal,
  )
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(4))} %`
}

function isReport(data: unknown): data is ShadowReport {
  return (
    typeof memberOf(data, 'version') === 'string' &&
    typeof memberOf(data, 'copied') === 'number' &&
    Array.isArray(memberOf(data, 'outputs')) &&
    Array.isArray(memberOf(data, 'worst')) &&
    typeof memberOf(data, 'latencyMs') === 'object'
  )
}
