/**
 * The page `/metrics` in the text format of Prometheus. All values are read at the time of the
 * request.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { ROLLOUT_FAMILIES } from '../rollout/metrics.ts'
import type { ObservedRollout } from '../rollout/metrics.ts'
import { StatusCounts } from './counts.ts'
import { addCounter, addGauge, addHistogram } from './families.ts'
import type { HistogramSample, Sample } from './families.ts'
import { printedFamilies } from './handler-families.ts'
import { VERSION_LABELS, isUntouched, labelsOf } from './observed-version.ts'
import type { ObservedVersion } from './observed-version.ts'
import { addProcessMetrics } from './server-families/process.ts'
import { addRecording } from './server-families/recording.ts'
import type { RecordingCounts } from './server-families/recording.ts'
import { addResidencyMetrics } from './server-families/residency.ts'
import type { ObservedMemory } from './server-families/residency.ts'
import { addResponses, addStreamMetrics } from './server-families/responses.ts'
import { addShadows } from './server-families/shadow.ts'
import type { ObservedShadow } from './server-families/shadow.ts'
import { addStarts } from './server-families/starts.ts'
import type { WorkerStarts } from './server-families/starts.ts'
import { addTorchServeMetrics } from './torchserve-names.ts'
import type { VersionMetrics } from './version-metrics.ts'
import { addWorkers } from './workers.ts'

export type { ObservedMemory, ObservedVersion }

/** What a page shows besides the model versions. */
export interface MetricSources {
  /** Counts of started workers and of spare ones. */
  readonly starts?: WorkerStarts
  /** The memory of the models that load on demand. */
  readonly modelMemory?: ObservedMemory
  /** Returns the rollouts that run, and the last ones. */
  readonly rollouts?: () => readonly ObservedRollout[]
  /** Returns the number of log lines that could not be written. */
  readonly droppedLogLines?: (() => number) | undefined
  /** Absent if requests are not recorded. */
  readonly recording?: RecordingCounts | undefined
  readonly shadows?: () => readonly ObservedShadow[]
}

const HISTOGRAM_SUFFIX = /_(bucket|sum|count)$/

/**
 * The metrics of one server. Only versions that are registered at the time of a scrape have series.
 * So a series appears with a registration and disappears when the version is unregistered, and no
 * request can create one.
 */
export class ServerMetrics {
  /** Every HTTP response, also those without a model. */
  readonly responses = {
    inference: new StatusCounts(),
    management: new StatusCounts(),
    /** gRPC calls, by the HTTP status of the same result. */
    grpc: new StatusCounts(),
  }
  readonly #registry = new Registry()
  readonly #versions: () => readonly ObservedVersion[]
  readonly #stopMeasuring: () => void

  /** @param sources What else is read, as far as the server has it. */
  constructor(
    versions: () => readonly ObservedVersion[],
    {
      starts,
      modelMemory,
      rollouts,
      droppedLogLines = () => 0,
      recording,
      shadows,
    }: MetricSources = {},
  ) {
    // Thousands of models that nobody uses would make the page as long as they are many.
    this.#versions = () => versions().filter((model) => !isUntouched(model))
    this.#addRequests()
    addWorkers(this.#registry, this.#versions)
    if (starts !== undefined) addStarts(this.#registry, starts)
    for (const { samplesOf, ...info } of rollouts === undefined ? [] : ROLLOUT_FAMILIES)
      addGauge(this.#registry, info, () => rollouts?.().flatMap(samplesOf) ?? [])
    addTorchServeMetrics(this.#registry, this.#versions, this.responses)
    addResidencyMetrics(this.#registry, this.#versions, modelMemory)
    addStreamMetrics(this.#registry, this.#versions)
    addResponses(this.#registry, this.responses)
    if (recording !== undefined) addRecording(this.#registry, recording)
    if (shadows !== undefined) addShadows(this.#registry, shadows)
    this.#stopMeasuring = addProcessMetrics(this.#registry, droppedLogLines)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /**
   * Returns the text of the named families, by their own name or the name of one of their series;
   * of all families if none is named. Requests run between two families, because a page with many
   * models takes a while.
   */
  async text(names: readonly string[] = []): Promise<string> {
    const families = new Map<string, Registry>()
    for (const registry of [this.#registry, printedFamilies(this.#versions())])
      for (const { name } of registry.getMetricsAsArray()) families.set(name, registry)
    const wanted = names.map((name) =>
      families.has(name) ? name : name.replace(HISTOGRAM_SUFFIX, ''),
    )
    const texts: string[] = []
    for (const name of names.length === 0 ? families.keys() : new Set(wanted)) {
      const text = await families.get(name)?.getSingleMetricAsString(name)
      if (text === undefined) continue
      texts.push(`${text}\n`)
      await nextTurn()
    }
    return texts.join('\n')
  }

  /** Stops measurements in the background. */
  close(): void {
    this.#stopMeasuring()
  }

  #addRequests(): void {
    this.#counter(
      'requests_total',
      'Requests that got a response, by class of the HTTP status.',
      'status_class',
      (statistics) => statistics.statuses.entries,
    )
    this.#counter(
      'rejected_total',
      'Requests that got no response from a worker, by reason.',
      'reason',
      (statistics) => Object.entries(statistics.rejections),
    )
    this.#counter(
      'text_tokens_total',
      'Tokens that text models have run, by kind: of texts, or padding of shorter texts.',
      'kind',
      ({ textTokens: { text, padding } }) => (text > 0 ? Object.entries({ text, padding }) : []),
    )
    this.#counter(
      'handler_metrics_dropped_total',
      'Metrics that handlers printed and the server dropped, by reason.',
      'reason',
      (statistics) => Object.entries(statistics.printed.dropped),
    )
    this.#counter(
      'worker_restarts_total',
      'Workers that were replaced, by the cause of the end of the previous worker.',
      'cause',
      (statistics) => Object.entries(statistics.restarts),
    )
    this.#histogram(
      'request_queue_seconds',
      'Time a request waits in the queue, in seconds.',
      (metrics) => metrics.queueSeconds,
    )
    this.#histogram(
      'request_worker_seconds',
      'Time a request spends at a worker, including the socket, in seconds.',
      (metrics) => metrics.workerSeconds,
    )
    this.#histogram('batch_size', 'Requests in one batch.', (metrics) => metrics.batchSizes)
    this.#gauge('queue_jobs', 'Requests that wait for a worker.', (status) => status.queued)
    this.#gauge(
      'queue_bytes',
      'Total body size of the requests that wait for a worker, in bytes.',
      (status) => status.queuedBytes,
    )
    this.#gauge(
      'inflight_requests',
      'Requests that wait for a worker or are at one.',
      (status) => status.queued + status.running,
    )
    this.#gauge(
      'capacity_requests',
      'Requests that the ready workers can run at once.',
      (status) => status.capacity,
    )
  }

  #counter(
    name: string,
    help: string,
    label: string,
    read: (statistics: VersionMetrics) => [value: string, count: number][],
  ): void {
    const info = { name: `onnxd_${name}`, help, labelNames: [...VERSION_LABELS, label] }
    addCounter(this.#registry, info, () =>
      this.#versions().flatMap((model) =>
        read(model.statistics).map(([value, count]): Sample => [
          { ...labelsOf(model), [label]: value },
          count,
        ]),
      ),
    )
  }

  #gauge(name: string, help: string, read: (status: ObservedVersion['status']) => number): void {
    addGauge(this.#registry, { name: `onnxd_${name}`, help, labelNames: VERSION_LABELS }, () =>
      this.#versions().map((model): Sample => [labelsOf(model), read(model.status)]),
    )
  }

  #histogram(
    name: string,
    help: string,
    read: (statistics: VersionMetrics) => HistogramSample[1],
  ): void {
    addHistogram(this.#registry, { name: `onnxd_${name}`, help, labelNames: VERSION_LABELS }, () =>
      this.#versions().map((model): HistogramSample => [labelsOf(model), read(model.statistics)]),
    )
  }
}
