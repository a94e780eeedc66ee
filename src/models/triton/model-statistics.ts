/** The counts of a model version in the form of Triton's statistics extension. */
import type { ModelVersion } from '../model-version.ts'

/** A count and a total time. */
interface Duration {
  readonly count: number
  /** Nanoseconds; an integer, because `perf_analyzer` reads only integers. */
  readonly ns: number
}

/**
 * One entry of `model_stats`: the members that `perf_analyzer` needs, and the lists that it does
 * not read.
 */
export interface ModelStatistics {
  readonly name: string
  readonly version: string
  /** Milliseconds since 1970. */
  readonly last_inference: number
  readonly inference_count: number
  readonly execution_count: number
  readonly inference_stats: Readonly<Record<StatisticName, Duration>>
  readonly response_stats: Readonly<Record<string, never>>
  readonly batch_stats: never[]
  readonly memory_usage: never[]
}

type StatisticName =
  | 'success'
  | 'fail'
  | 'queue'
  | 'compute_input'
  | 'compute_infer'
  | 'compute_output'
  | 'cache_hit'
  | 'cache_miss'

const NEVER: Duration = { count: 0, ns: 0 }

/**
 * Returns the statistics of a version since its registration, for all dialects. For the built-in
 * handlers, the times to read requests, to run them and to write responses are separate. For other
 * workers all time counts as `compute_infer`.
 */
export function modelStatistics({ name, version, statistics }: ModelVersion): ModelStatistics {
  const { statuses, queueSeconds, workerSeconds, computeMs, batchSizes, lastTakenAt, furtherRows } =
    statistics
  const answered = workerSeconds.count
  const counts = new Map(statuses.entries)
  const succeeded = counts.get('2xx') ?? 0
  const queue = duration(queueSeconds.count, queueSeconds.sum)
  const taken = queue.ns + nanoseconds(workerSeconds.sum)
  const share = answered === 0 ? 0 : Math.min(1, succeeded / answered)
  const success = Math.round(taken * share)
  return {
    name,
    version,
    last_inference: Math.round(lastTakenAt),
    inference_count: succeeded + furtherRows,
    execution_count: batchSizes.count,
    inference_stats: {
      success: { count: succeeded, ns: success },
      fail: { count: statuses.total - succeeded, ns: taken - success },
      queue,
      compute_input: duration(answered, computeMs.input / 1000),
      compute_infer: duration(answered, computeMs.infer / 1000),
      compute_output: duration(answered, computeMs.output / 1000),
      cache_hit: NEVER,
      cache_miss: NEVER,
    },
    response_stats: {},
    batch_stats: [],
    memory_usage: [],
  }
}

function duration(count: number, seconds: number): Duration {
  return { count, ns: nanoseconds(seconds) }
}

function nanoseconds(seconds: number): number {
  return Math.round(seconds * 1e9)
}
