import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Registry } from 'prom-client'
import { descriptorLimit, openDescriptors } from '../../../system/process-identity.ts'
import { addCounter, addGauge } from '../families.ts'

/**
 * Interval at which the event loop is measured: it finds a blocked loop and costs almost nothing.
 */
const LOOP_CHECK_MS = 20
const PERCENTILES = ['50', '99', '100'] as const

/**
 * Adds the resources of the front-end process, under the names that Prometheus' own clients use;
 * the delay of its event loop; and the number of lost log lines.
 *
 * prom-client's `collectDefaultMetrics` is not used: it cannot be stopped; one of its metrics fills
 * others, so a scrape of `process_cpu_seconds_total` alone returns 0; and `promtool` rejects three
 * of its names.
 * @returns A function that stops the measurement.
 */
export function addProcessMetrics(registry: Registry, droppedLogLines: () => number): () => void {
  const labelNames: string[] = []
  addCounter(
    registry,
    {
      name: 'onnxd_log_lines_dropped_total',
      help: 'Log lines that were dropped because standard error could not be written.',
      labelNames,
    },
    () => [[{}, droppedLogLines()]],
  )
  addCounter(
    registry,
    {
      name: 'process_cpu_seconds_total',
      help: 'User and system CPU time of the front-end process, in seconds.',
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
      help: 'Resident memory of the front-end process, in bytes.',
      labelNames,
    },
    () => [[{}, process.memoryUsage.rss()]],
  )
  addGauge(
    registry,
    {
      name: 'process_open_fds',
      help: 'Open files and sockets of the front-end process.',
      labelNames,
    },
    async () => {
      const count = await openDescriptors()
      return count === undefined ? [] : [[{}, count]]
    },
  )
  addGauge(
    registry,
    {
      name: 'process_max_fds',
      help: 'Maximum of open files and sockets of the front-end process.',
      labelNames,
    },
    () => {
      const limit = descriptorLimit()
      return Number.isFinite(limit) ? [[{}, limit]] : []
    },
  )
  const startedAt = Date.now() / 1000 - process.uptime()
  addGauge(
    registry,
    {
      name: 'process_start_time_seconds',
      help: 'Start time of the front-end process, in seconds since 1970.',
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
      help: 'Delay of the event loop of the front-end since the last scrape, in seconds; percentile 100 is the maximum.',
      // Prometheus reserves `quantile` for summaries.
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

/**
 * Node measures the time between two checks, which includes the interval. 0 before the second
 * check.
 */
function lagSeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - LOOP_CHECK_MS / 1000)
}
