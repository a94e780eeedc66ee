import type { VersionMetrics } from '../metrics/version-metrics.ts'
import type { Completed } from './step-watch.ts'

/** The part of a model version that a rollout reads. */
export interface WatchedVersion {
  readonly version: string
  readonly statistics: Pick<VersionMetrics, 'statuses' | 'rejections' | 'onResponse'>
}

/** Reads what a version has done since the last reading. */
export class VersionFeed {
  readonly model: WatchedVersion
  #before: Completed

  /** @param time Receives response times until {@link close}. */
  constructor(model: WatchedVersion, time: (ms: number) => void) {
    this.model = model
    this.#before = completedBy(model)
    model.statistics.onResponse = time
  }

  read(): Completed {
    const now = completedBy(this.model)
    const { requests, errors } = this.#before
    this.#before = now
    return { requests: now.requests - requests, errors: now.errors - errors }
  }

  close(): void {
    this.model.statistics.onResponse = undefined
  }
}

/**
 * Rejected requests are errors, also because of overload, and so are those with a mistake: a new
 * version may reject what the present one accepts. A client that disconnects is neither.
 */
function completedBy({ statistics: { statuses, rejections } }: WatchedVersion): Completed {
  const counts = Object.fromEntries(statuses.entries)
  const failed = (counts['4xx'] ?? 0) + (counts['5xx'] ?? 0)
  const { cancelled } = rejections
  return { requests: statuses.total - cancelled, errors: failed - cancelled }
}
