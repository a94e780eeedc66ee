import type { JSX } from 'preact'
import { formatDecimal, formatMilliseconds } from '../../shared/format.ts'
import type { Track } from '../logic/track.ts'
import { Chart } from './chart.tsx'
import type { Series } from './chart.tsx'

const THROUGHPUT: readonly Series[] = [
  { label: '2xx, 3xx', color: 1, valueOf: ({ succeeded }) => succeeded, isFilled: true },
  { label: '4xx', color: 2, valueOf: ({ clientErrors }) => clientErrors },
  { label: '5xx', color: 4, valueOf: ({ serverErrors }) => serverErrors },
]
const LATENCY: readonly Series[] = [
  { label: 'p50', color: 1, valueOf: ({ p50 }) => p50 },
  { label: 'p99', color: 2, valueOf: ({ p99 }) => p99 },
]
const QUEUE: readonly Series[] = [
  { label: 'Waiting', color: 2, valueOf: ({ queued }) => queued, isFilled: true },
  { label: 'At workers', color: 1, valueOf: ({ running }) => running },
]

/** Throughput, latency and queue of a version or of all. */
export function LiveCharts({ track }: { track: Track }): JSX.Element {
  const { points } = track
  return (
    <div class="charts">
      <Chart
        title="Requests per second"
        series={THROUGHPUT}
        points={points}
        format={formatDecimal}
      />
      <Chart
        title="Time at a worker"
        series={LATENCY}
        points={points}
        format={formatMilliseconds}
        unit="ms"
      />
      <Chart title="Open requests" series={QUEUE} points={points} format={formatDecimal} />
    </div>
  )
}
