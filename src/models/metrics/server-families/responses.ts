import type { Registry } from 'prom-client'
import type { StatusCounts } from '../counts.ts'
import { addCounter, addHistogram } from '../families.ts'
import type { HistogramSample, Sample } from '../families.ts'
import { VERSION_LABELS, labelsOf } from '../observed-version.ts'
import type { ObservedVersion } from '../observed-version.ts'

/** Adds the responses of each listener. The gRPC listener appears with its first call. */
export function addResponses(
  registry: Registry,
  responses: Readonly<Record<string, StatusCounts>>,
): void {
  addCounter(
    registry,
    {
      name: 'onnxd_http_responses_total',
      help: 'HTTP responses, including those for unknown models and paths.',
      labelNames: ['listener', 'status_class'],
    },
    () =>
      Object.entries(responses)
        .filter(([listener, counts]) => listener !== 'grpc' || counts.total > 0)
        .flatMap(([listener, counts]) =>
          counts.entries.map(([status_class, count]): Sample => [
            { listener, status_class },
            count,
          ]),
        ),
  )
}

/** Adds the streamed responses. Only models that have streamed have series. */
export function addStreamMetrics(
  registry: Registry,
  versions: () => readonly ObservedVersion[],
): void {
  const streaming = (): readonly ObservedVersion[] =>
    versions().filter(({ statistics }) => statistics.firstByteSeconds.count > 0)
  addCounter(
    registry,
    {
      name: 'onnxd_streams_total',
      help: 'Streamed responses, by how they ended.',
      labelNames: [...VERSION_LABELS, 'outcome'],
    },
    () =>
      streaming().flatMap((model) =>
        Object.entries(model.statistics.streams).map(([outcome, count]): Sample => [
          { ...labelsOf(model), outcome },
          count,
        ]),
      ),
  )
  addHistogram(
    registry,
    {
      name: 'onnxd_stream_first_byte_seconds',
      help: 'Time at a worker until the first part of a streamed response, in seconds.',
      labelNames: VERSION_LABELS,
    },
    () =>
      streaming().map((model): HistogramSample => [
        labelsOf(model),
        model.statistics.firstByteSeconds,
      ]),
  )
  addHistogram(
    registry,
    {
      name: 'onnxd_stream_seconds',
      help: 'Time at a worker until the end of a streamed response, in seconds.',
      labelNames: VERSION_LABELS,
    },
    () =>
      streaming().map((model): HistogramSample => [
        labelsOf(model),
        model.statistics.streamSeconds,
      ]),
  )
}
