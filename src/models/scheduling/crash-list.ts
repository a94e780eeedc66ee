/** Remembers requests that crashed workers of a model, so that they do not crash more. */
import { createHash } from 'node:crypto'
import type { VersionMetrics } from '../metrics/version-metrics.ts'
import { crashing } from '../unavailable.ts'
import type { Job } from './queue/job.ts'

/** Maximum of workers that one request may crash. */
const MAX_CRASHES = 2
/** Maximum of remembered requests. The one with the oldest crash is removed first. */
const MAX_ENTRIES = 1000

interface Entry {
  readonly bytes: number
  crashes: number
  /** When it is removed, on the clock of `performance.now()`. */
  until: number
}

/**
 * Remembers the SHA-256 of each body that crashed a worker. A body that crashed two workers is
 * rejected until `quarantineMs` after its last crash. Clients and request ids may differ, so only
 * the body counts, without headers.
 */
export class CrashList {
  readonly #modelName: string
  readonly #quarantineMs: number
  /** Created with the first crash. */
  #entries: Map<string, Entry> | undefined

  /** @param quarantineMs Milliseconds; 0 disables the list. */
  constructor(modelName: string, quarantineMs: number) {
    this.#modelName = modelName
    this.#quarantineMs = quarantineMs
  }

  /** A worker crashed while it ran this job. */
  recordCrash(job: Job): void {
    if (this.#quarantineMs === 0) return
    const key = hashOf(job)
    const now = performance.now()
    const entries = (this.#entries ??= new Map<string, Entry>())
    const known = entries.get(key)
    const crashes = known !== undefined && known.until > now ? known.crashes + 1 : 1
    const until = now + this.#quarantineMs
    // Deleting first makes the key the youngest of the map.
    entries.delete(key)
    entries.set(key, { bytes: job.bytes, crashes, until })
    const [oldest] = entries.keys()
    if (entries.size > MAX_ENTRIES && oldest !== undefined) entries.delete(oldest)
  }

  /** A worker responded to the job, so the job did not cause an earlier crash. */
  recordSuccess(job: Job): void {
    if (this.#mayKnow(job)) this.#entries?.delete(hashOf(job))
  }

  /**
   * Counts and rejects a job whose body crashed two workers.
   * @throws ServerError `CrashingRequestException`.
   */
  check(job: Job, { rejections, statuses }: Pick<VersionMetrics, 'rejections' | 'statuses'>): void {
    const seconds = this.#secondsLeft(job)
    if (seconds === 0) return
    const rejection = crashing(this.#modelName, seconds)
    rejections.crashing += 1
    statuses.count(rejection.statusCode)
    throw rejection
  }

  /** Returns the seconds for which the job is rejected; 0 if it may run. */
  #secondsLeft(job: Job): number {
    if (!this.#mayKnow(job)) return 0
    const key = hashOf(job)
    const entry = this.#entries?.get(key)
    if (entry === undefined) return 0
    const leftMs = entry.until - performance.now()
    if (leftMs <= 0) this.#entries?.delete(key)
    return entry.crashes < MAX_CRASHES ? 0 : Math.max(0, Math.ceil(leftMs / 1000))
  }

  /** Compares sizes first, because hashing takes time per byte. Nearly all requests end here. */
  #mayKnow({ bytes }: Job): boolean {
    if (this.#entries === undefined) return false
    for (const entry of this.#entries.values()) if (entry.bytes === bytes) return true
    return false
  }
}

function hashOf({ request }: Job): string {
  const hash = createHash('sha256')
  for (const { name, value } of request.parameters) {
    hash.update(`${name.length}:${name}:${value.length}:`).update(value)
  }
  return hash.digest('base64')
}
