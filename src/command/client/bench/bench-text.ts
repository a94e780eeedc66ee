/** Prints a measurement with its histogram. */
import { fieldsText } from '../../terminal/table.ts'
import { paint } from '../../terminal/terminal.ts'
import type { Terminal } from '../../terminal/terminal.ts'
import { countText, durationText, plural, sizeText } from '../../terminal/units.ts'
import type { Bucket, Summary } from './measurement.ts'

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']
const MAX_BAR = 60

/** What was measured, and how. */
export interface BenchResult extends Summary {
  readonly model: string
  readonly url: string
  readonly requestBytes: number
  readonly [plan: string]: unknown
}

/** The figures, then the histogram. */
export function benchText(result: BenchResult, terminal: Terminal): string {
  const { model, url, requests, errors, throughput, latencyMs, errorsBy } = result
  const time = durationText
  const percentiles = [
    ['p50', latencyMs.p50],
    ['p90', latencyMs.p90],
    ['p99', latencyMs.p99],
  ] as const
  const others = [
    ['p99.9', latencyMs.p999],
    ['max', latencyMs.max],
    ['min', latencyMs.min],
    ['mean', latencyMs.mean],
  ] as const
  const line = (parts: readonly (readonly [string, number])[]): string =>
    parts.map(([name, ms]) => `${name} ${time(ms)}`).join(', ')
  const reasons = Object.entries(errorsBy).map(
    ([reason, count]) => `${countText(count)} × ${reason}`,
  )
  const plan =
    result.loop === 'closed'
      ? `closed loop, ${String(result.clients)} clients`
      : `open loop, ${String(result.rate)} requests/s`
  const fields: [string, string][] = [
    ['model', `${model} at ${url}`],
    ['load', `${plan}, ${String(result.seconds)} s, ${requestsText(result)}`],
    ['requests', countText(requests)],
    ['throughput', `${throughput >= 100 ? countText(throughput) : String(throughput)} responses/s`],
    ['errors', errors === 0 ? '0' : `${countText(errors)} (${reasons.join(', ')})`],
  ]
  if (requests > errors) {
    fields.push(['latency', line(percentiles)], ['', line(others)])
  }
  return `${fieldsText(fields, terminal)}${histogramText(result.histogram, terminal)}`
}

function requestsText({ requestBytes, recordedRequests }: BenchResult): string {
  const size = sizeText(requestBytes)
  return typeof recordedRequests === 'number'
    ? `${plural(recordedRequests, 'recorded request')} of ${size} on average`
    : `${size} per request`
}

function histogramText(buckets: readonly Bucket[], terminal: Terminal): string {
  if (buckets.length === 0) return ''
  const most = Math.max(...buckets.map(({ count }) => count))
  const counts = buckets.map(({ count }) => countText(count))
  const limits = buckets.map(({ toMs }) => `≤ ${durationText(toMs)}`)
  const limitWidth = Math.max(...limits.map(({ length }) => length), 7)
  const countWidth = Math.max(...counts.map(({ length }) => length), 8)
  const space = Math.max(10, Math.min(MAX_BAR, terminal.columns - limitWidth - countWidth - 4))
  const heading = paint(
    terminal,
    'bold',
    `${'LATENCY'.padStart(limitWidth)}  ${'REQUESTS'.padStart(countWidth)}`,
  )
  const lines = buckets.map(({ count }, index) => {
    const bar = paint(terminal, 'green', barText((count / most) * space))
    const limit = (limits[index] ?? '').padStart(limitWidth)
    return `${limit}  ${(counts[index] ?? '').padStart(countWidth)}  ${bar}`.trimEnd()
  })
  return `\n${heading}\n${lines.map((line) => `${line}\n`).join('')}`
}

function barText(length: number): string {
  const eighths = Math.round(length * 8)
  return `${'█'.repeat(Math.floor(eighths / 8))}${EIGHTHS[eighths % 8] ?? ''}`
}
