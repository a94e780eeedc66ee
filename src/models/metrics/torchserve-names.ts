/** Metrics under the names of TorchServe, for dashboards and autoscalers that use them. */
import { hostname } from 'node:os'
import type { Registry } from 'prom-client'
import type { StatusCounts } from './counts.ts'
import { addCounter } from './families.ts'
import type { Sample } from './families.ts'
import type { VersionMetrics } from './version-metrics.ts'

/** The part of a model version that is read. */
interface CountedVersion {
  readonly name: string
  readonly version: string
  readonly statistics: VersionMetrics
}

const RESPONSES = [
  ['Requests2XX', '2xx'],
  ['Requests4XX', '4xx'],
  ['Requests5XX', '5xx'],
] as const

const VERSION_COUNTERS: readonly [
  name: string,
  help: string,
  read: (metrics: VersionMetrics) => number,
][] = [
  [
    'ts_inference_requests_total',
    'Number of requests, as TorchServe counts them.',
    ({ statuses }) => statuses.total,
  ],
  [
    'ts_inference_latency_microseconds',
    'Total time of requests from acceptance to response, in microseconds.',
    ({ queueSeconds, workerSeconds }) => (queueSeconds.sum + workerSeconds.sum) * 1e6,
  ],
  [
    'ts_queue_latency_microseconds',
    'Total time of requests in the queue, in microseconds.',
    ({ queueSeconds }) => queueSeconds.sum * 1e6,
  ],
]

/**
 * Adds the counters of TorchServe.
 * @param responses HTTP responses by listener.
 */
export function addTorchServeMetrics(
  registry: Registry,
  versions: () => readonly CountedVersion[],
  responses: Readonly<Record<string, StatusCounts>>,
): void {
  const host = hostname()
  for (const [name, statusClass] of RESPONSES) {
    const help = `HTTP responses with a status ${statusClass}, under the name of TorchServe.`
    addCounter(registry, { name, help, labelNames: ['Level', 'Hostname'] }, () => {
      const count = Object.values(responses)
        .flatMap(({ entries }) => entries)
        .reduce((sum, [each, answers]) => (each === statusClass ? sum + answers : sum), 0)
      return [[{ Level: 'Host', Hostname: host }, count]]
    })
  }
  const labelNames = ['model_name', 'model_version', 'hostname']
  for (const [name, help, read] of VERSION_COUNTERS) {
    addCounter(registry, { name, help, labelNames }, () =>
      versions().map(({ name: model_name, version: model_version, statistics }): Sample => [
        { model_name, model_version, hostname: host },
        read(statistics),
      ]),
    )
  }
}
