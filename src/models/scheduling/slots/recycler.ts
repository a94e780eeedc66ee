import type { Logger } from 'pino'
import type { Config } from '../../../config/config.ts'
import { messageOf } from '../../../errors.ts'
import { residentBytes } from '../../../system/process-identity.ts'
import type { Pool, Slot } from '../pool.ts'

/** When a worker is replaced; 0 disables a limit. */
export interface RecycleLimits {
  /** Requests that the worker has responded to. */
  readonly maxRequests: number
  readonly maxAgeMs: number
  readonly maxResidentBytes: number
  /**
   * Whether the memory of workers is limited. Memory that a handler leaks is freed only when its
   * worker exits.
   */
  readonly hasMemoryLimit: boolean
}

/** Returns the limits of the settings. */
export function recycleLimits(config: Config): RecycleLimits {
  return {
    maxRequests: config.recycleAfterRequests,
    maxAgeMs: config.recycleAfterSeconds * 1000,
    maxResidentBytes: config.recycleAboveMib * 1024 * 1024,
    hasMemoryLimit: config.workerMemoryMib > 0,
  }
}

/** A check takes a few microseconds. These limits need no finer interval than a second. */
const CHECK_MS = 1000
/** Batches in a row that ran out of memory. A single one may just have needed too much. */
const MAX_MEMORY_FAILURES = 3

/**
 * Replaces workers that are too old, have served too many requests or use too much memory. It
 * replaces one at a time, after the new worker is warm.
 */
export class Recycler {
  readonly #pool: Pool
  readonly #limits: RecycleLimits
  readonly #log: Logger
  readonly #timer: NodeJS.Timeout | undefined
  #isBusy = false

  constructor(pool: Pool, limits: RecycleLimits, log: Logger) {
    this.#pool = pool
    this.#limits = limits
    this.#log = log
    const isNeeded = Object.values(limits).some(Boolean)
    this.#timer = isNeeded ? setInterval(() => void this.check(), CHECK_MS).unref() : undefined
  }

  /**
   * Checks every worker and replaces the first that exceeds a limit. Does nothing during a
   * replacement.
   */
  async check(): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    try {
      for (const slot of this.#pool.slots) {
        const reason = await this.#reasonFor(slot)
        if (reason === undefined) continue
        this.#log.info({ worker: slot.id, pid: slot.worker.pid, reason }, 'recycling worker')
        await this.#pool.replace(slot)
        break
      }
    } catch (error) {
      this.#log.warn({ reason: messageOf(error) }, 'recycling of worker failed')
    }
    this.#isBusy = false
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #reasonFor({ worker, memoryFailures }: Slot): Promise<string | undefined> {
    const { maxRequests, maxAgeMs, maxResidentBytes, hasMemoryLimit } = this.#limits
    if (worker.state !== 'ready') return undefined
    if (hasMemoryLimit && memoryFailures >= MAX_MEMORY_FAILURES) return 'memory limit'
    if (maxRequests > 0 && worker.servedRequests >= maxRequests) return 'requests'
    if (maxAgeMs > 0 && performance.now() - worker.startedAtMs >= maxAgeMs) return 'age'
    if (maxResidentBytes === 0 || worker.pid === undefined) return undefined
    return (await residentBytes(worker.pid)) >= maxResidentBytes ? 'memory' : undefined
  }
}
