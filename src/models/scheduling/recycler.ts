import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import { messageOf } from '../../errors.ts'
import { residentBytes } from '../../process-identity.ts'
import type { Pool, Slot } from './pool.ts'

/** When a worker is due for replacement; 0 never. */
export interface RecycleLimits {
  /** Batches answered. */
  readonly maxBatches: number
  readonly maxAgeMs: number
  readonly maxResidentBytes: number
  /** Whether the memory of workers is limited: what a handler leaks stays lost until its worker ends. */
  readonly hasMemoryLimit: boolean
}

/** The limits that the settings give. */
export function recycleLimits(config: Config): RecycleLimits {
  return {
    maxBatches: config.recycleAfterRequests,
    maxAgeMs: config.recycleAfterSeconds * 1000,
    maxResidentBytes: config.recycleAboveMib * 1024 * 1024,
    hasMemoryLimit: config.workerMemoryMib > 0,
  }
}

/** A look at a worker costs a few microseconds; once a second is soon enough for what creeps. */
const CHECK_MS = 1000
/** Batches in a row without memory: a single one may just have asked for too much. */
const MAX_MEMORY_FAILURES = 3

/** Replaces workers that are old, have done much or have grown, one at a time, each after its successor is warm. */
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

  /** Looks at every worker and replaces the first one that is due. Does nothing while one is being replaced. */
  async check(): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    try {
      for (const slot of this.#pool.slots) {
        const reason = await this.#reasonFor(slot)
        if (reason === undefined) continue
        this.#log.info({ worker: slot.id, pid: slot.worker.pid, reason }, 'recycling a worker')
        await this.#pool.replace(slot)
        break
      }
    } catch (error) {
      this.#log.warn({ reason: messageOf(error) }, 'a worker could not be recycled')
    }
    this.#isBusy = false
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #reasonFor({ worker, memoryFailures }: Slot): Promise<string | undefined> {
    const { maxBatches, maxAgeMs, maxResidentBytes, hasMemoryLimit } = this.#limits
    if (worker.state !== 'ready') return undefined
    if (hasMemoryLimit && memoryFailures >= MAX_MEMORY_FAILURES) return 'memory limit'
    if (maxBatches > 0 && worker.answered >= maxBatches) return 'requests'
    if (maxAgeMs > 0 && performance.now() - worker.startedAtMs >= maxAgeMs) return 'age'
    if (maxResidentBytes === 0 || worker.pid === undefined) return undefined
    return (await residentBytes(worker.pid)) >= maxResidentBytes ? 'memory' : undefined
  }
}
