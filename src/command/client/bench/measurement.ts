/** Percentiles and the histogram of a measurement. */
import type { LoadResults } from './load-loop.ts'

/** One bar of the histogram: latencies above `fromMs`, up to `toMs`. */
export interface Bucket {
  readonly fromMs: number
  readonly toMs: number
  readonly count: number
}

/** Figures of a measurement. */
export interface Summary {
  readonly requests: number
  /** Requests without a 2xx response. */
  readonly errors: number
  /** Number by status or code, without 2xx. */
  readonly errorsBy: Readonly<Record<string, number>>
  /** Successful responses per second. */
  readonly throughput: number
  readonly latencyMs: Readonly<
    Record<'min' | 'mean' | 'p50' | 'p90' | 'p99' | 'p999' | 'max', number>
  >
  readonly histogram: readonly Bucket[]
}

const MAX_BUCKETS = 12
/** Limits of the buckets are these numbers times a power of ten. */
const STEPS = [1, 1.5, 2, 3, 5, 7]

/** Computes the figures. Latencies cover successful responses only. */
export function summarize({ latencies, outcomes, elapsedMs }: LoadResults): Summary {
  const sorted = Float64Array.from(latencies).toSorted()
  const failed = [...outcomes].filter(([outcome]) => !outcome.startsWith('2'))
  const errors = failed.reduce((sum, [, count]) => sum + count, 0)
  const at = (part: number): number =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0)
  const total = sorted.reduce((sum, value) => sum + value, 0)
  return {
    requests: sorted.length + errors,
    errors,
    errorsBy: Object.fromEntries(failed),
    throughput: round(elapsedMs > 0 ? (sorted.length * 1000) / elapsedMs : 0),
    latencyMs: {
      min: at(0),
      mean: round(sorted.length > 0 ? total / sorted.length : 0),
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      p999: at(0.999),
      max: at(1),
    },
    histogram: histogramOf(sorted),
  }
}

/** Buckets between round limits, from the first to the last latency. */
function histogramOf(sorted: Float64Array): Bucket[] {
  const first = sorted[0]
  const last = sorted.at(-1)
  if (first === undefined || last === undefined) return []
  const limits = limitsBetween(first, last)
  const buckets: Bucket[] = []
  let index = 0
  for (const [position, toMs] of limits.entries()) {
    const before = index
    while (index < sorted.length && (sorted[index] ?? 0) <= toMs) index += 1
    buckets.push({ fromMs: limits[position - 1] ?? 0, toMs, count: index - before })
  }
  const filled = buckets.findIndex(({ count }) => count > 0)
  return buckets.slice(Math.max(0, filled))
}

function limitsBetween(first: number, last: number): number[] {
  const all: number[] = []
  let power = 10 ** Math.floor(Math.log10(Math.max(first, 0.01)))
  while ((all.at(-1) ?? 0) < last) {
    for (const step of STEPS) all.push(Number((step * power).toPrecision(2)))
    power *= 10
  }
  const from = Math.max(
    0,
    all.findIndex((limit) => limit >= first),
  )
  const to = all.findIndex((limit) => limit >= last)
  const used = all.slice(from, to + 1)
  const every = Math.ceil(used.length / MAX_BUCKETS)
  return used.filter((_, index) => (used.length - 1 - index) % every === 0)
}

function round(value: number): number {
  return Number(value.toPrecision(4))
}
