/** Loads before this time, in milliseconds, no longer count. */
const WINDOW_MS = 60_000
/** A model that is loaded again within this time after its eviction was evicted too early. */
const RELOAD_MS = 60_000
/** The server thrashes when it spends more than this part of the window on loading models again. */
const MAX_PART = 0.5
/** Fewer loads say nothing. */
const LEAST_LOADS = 10

interface Reload {
  readonly endedAt: number
  readonly ms: number
}

/**
 * Detects that the server spends its time on loading models that it has just evicted. Then each
 * load waits as long as the one before took, so that requests to loaded models get their share.
 * Times are in milliseconds on the clock of `performance.now()`.
 */
export class ThrashDetector {
  readonly #parallel: number
  #reloads: Reload[] = []

  /** @param parallel Number of models that load at the same time. */
  constructor(parallel: number) {
    this.#parallel = parallel
  }

  /**
   * Records a load that ended at `now` and took `ms`.
   * @param evictedAt When the model was last evicted; `undefined` if never.
   */
  recordLoad(now: number, ms: number, evictedAt: number | undefined): void {
    this.#forget(now)
    if (evictedAt !== undefined && now - ms - evictedAt < RELOAD_MS)
      this.#reloads.push({ endedAt: now, ms })
  }

  /** Whether more than half of the last minute went into loading models again. */
  isThrashing(now: number): boolean {
    this.#forget(now)
    const [first] = this.#reloads
    if (first === undefined || this.#reloads.length < LEAST_LOADS) return false
    const spent = this.#reloads.reduce((sum, { ms }) => sum + ms, 0)
    const passed = now - first.endedAt + first.ms
    return spent > MAX_PART * passed * this.#parallel
  }

  /** Milliseconds that the next load waits at `now`; 0 unless the server thrashes. */
  pauseMs(now: number): number {
    const last = this.#reloads.at(-1)
    if (last === undefined || !this.isThrashing(now)) return 0
    return Math.max(0, last.endedAt + last.ms - now)
  }

  #forget(now: number): void {
    const isOld = ({ endedAt }: Reload): boolean => endedAt < now - WINDOW_MS
    const [first] = this.#reloads
    if (first !== undefined && isOld(first))
      this.#reloads = this.#reloads.filter((reload) => !isOld(reload))
  }
}
