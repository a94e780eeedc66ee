/** Prints what a replay has found. */
import { fieldsText, tableText } from '../../terminal/table.ts'
import { paint } from '../../terminal/terminal.ts'
import type { Terminal } from '../../terminal/terminal.ts'
import { countText, durationText, plural } from '../../terminal/units.ts'
import type { ComparisonCounts } from './findings.ts'

/** Latencies of successful responses. */
export interface Percentiles {
  readonly p50: number
  readonly p99: number
}

/** The result for programs. */
export interface ReplayReport extends ComparisonCounts {
  readonly recording: string
  readonly model: string
  readonly against: string
  /** Absent if the command has loaded the model itself. */
  readonly url: string | undefined
  readonly rate: string | number
  readonly connections?: number
  /** Recorded requests of the model. */
  readonly requests: number
  /** Times of the first and the last of them. */
  readonly from: string
  readonly to: string
  readonly sent: number
  readonly seconds: number
  readonly latencyMs: { readonly recorded: Percentiles; readonly replayed: Percentiles }
}

export function percentilesOf(latencies: readonly number[]): Percentiles {
  const sorted = Float64Array.from(latencies).toSorted()
  const at = (part: number): number => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
    return Number(value.toPrecision(4))
  }
  return { p50: at(0.5), p99: at(0.99) }
}

export function replayText(report: ReplayReport, terminal: Terminal): string {
  const { requests, from, to, agreed, differed, sent, seconds, latencyMs } = report
  const { recorded, replayed } = latencyMs
  const plan =
    report.rate === 'max'
      ? plural(report.connections ?? 1, 'connection')
      : report.rate === 'original'
        ? 'with the pauses of the recording'
        : `${report.rate} requests/s`
  const place = report.url === undefined ? 'a server of this command' : report.url
  const fields: [string, string][] = [
    ['recording', `${report.recording}, model ${report.model}`],
    ['requests', `${countText(requests)}, from ${from} to ${to}`],
    ['against', `${report.against} at ${place}`],
    ['sent', `${countText(sent)} in ${durationText(seconds * 1000)}, ${plan}`],
    ['agree', `${countText(agreed)}${shareText(agreed, requests)}`],
    ['differ', countText(differed)],
    ...countsField('status', report.statusChanges),
    ...countsField('failed', report.failed),
    ...countsField('not compared', report.notCompared),
    ['recorded', `p50 ${durationText(recorded.p50)}, p99 ${durationText(recorded.p99)}`],
    ['replayed', `p50 ${durationText(replayed.p50)}, p99 ${durationText(replayed.p99)}`],
  ]
  return `${fieldsText(fields, terminal)}${differencesText(report, terminal)}`
}

/** Not rounded up: all must agree for 100 %. */
function shareText(count: number, all: number): string {
  return all === 0 ? '' : ` (${(Math.floor((count / all) * 1000) / 10).toFixed(1)} %)`
}

function countsField(
  name: string,
  counts: Readonly<Record<string, number>>,
): [name: string, value: string][] {
  const parts = Object.entries(counts).map(([what, count]) => `${countText(count)} × ${what}`)
  return parts.length === 0 ? [] : [[name, parts.join(', ')]]
}

function differencesText({ differences }: ReplayReport, terminal: Terminal): string {
  if (differences.length === 0) return ''
  const table = tableText(
    [{ title: 'REQUEST' }, { title: 'DIFFERENCE', align: 'right' }, { title: '', canShrink: true }],
    differences.map(({ requestId, difference, reason }) => [
      requestId,
      difference.toPrecision(3),
      reason,
    ]),
    terminal,
  )
  return `\n${paint(terminal, 'bold', 'Largest differences')}\n${table}`
}
