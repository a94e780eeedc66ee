import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Registry } from 'prom-client'
import { addCounter, addGauge } from './families.ts'

/** How often the event loop is looked at: often enough for a blocked loop, too rarely to cost anything. */
const LOOP_CHECK_MS = 20
const PERCENTILES = ['50', '99', '100'] as const

/**
 * Adds what the front-end process itself uses, under the names that Prometheus' own clients agree on,
 * how late its event loop is, and what its log lost. Returns a function that stops the measuring.
 *
 * Not by prom-client's `collectDefaultMetrics`: it cannot be stopped, one of its metrics fills others, so
 * that a scrape of `process_cpu_seconds_total` alone returns 0, and `promtool` rejects three of its names.
 */
export function addProcessMetrics(registry: Registry, droppedLogLines: () => number): () => void {
  const labelNames: string[] = []
  addCounter(
    registry,
    {
      name: 'onnxd_log_lines_dropped_total',
      help: 'Lines of the log that standard error did not take.',
      labelNames,
    },
    () => [[{}, droppedLogLines()]],
  )
  addCounter(
    registry,
    {
      name: 'process_cpu_seconds_total',
      help: 'CPU time of the front-end process, user and system.',
      labelNames,
    },
    () => {
      const { user, system } = process.cpuUsage()
      return [[{}, (user + system) / 1e6]]
    },
  )
  addGauge(
    registry,
    {
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the front-end process.',
      labelNames,
    },
    () => [[{}, process.memoryUsage.rss()]],
  )
  const startedAt = Date.now() / 1000 - process.uptime()
  addGauge(
    registry,
    {
      name: 'process_start_time_seconds',
      help: 'Start of the front-end process, seconds since 1970.',
      labelNames,
    },
    () => [[{}, startedAt]],
  )
  const delays = monitorEventLoopDelay({ resolution: LOOP_CHECK_MS })
  delays.enable()
  addGauge(
    registry,
    {
      name: 'onnxd_event_loop_lag_seconds',
      help: 'How late the event loop of the front-end was since the last scrape; percentile 100 is the worst.',
      // `quantile` is for summaries alone.
      labelNames: ['percentile'],
    },
    () => {
      const samples = PERCENTILES.map(
        (percentile) =>
          [{ percentile }, lagSeconds(delays.percentile(Number(percentile)))] as const,
      )
      delays.reset()
      return samples
    },
  )
  return () => {
    delays.disable()
  }
}

/** Node measures the time between two looks, which contains the intended wait. 0 before the second look. */
function lagSeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - LOOP_CHECK_MS / 1000)
}
