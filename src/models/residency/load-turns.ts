import { setTimeout as delay } from 'node:timers/promises'
import { ThrashDetector } from './thrash-detector.ts'

/** Models that load at the same time. More would only compete for the cores. */
const PARALLEL_LOADS = 2

/** Gives each load its turn, and lets it wait while the server thrashes. */
export class LoadTurns {
  readonly #thrash = new ThrashDetector(PARALLEL_LOADS)
  readonly #onThrash: () => void
  readonly #waiting: (() => void)[] = []
  #running = 0
  #wasThrashing = false

  /** @param onThrash Called when the server begins to thrash. */
  constructor(onThrash: () => void) {
    this.#onThrash = onThrash
  }

  /** Whether most of the time goes into loading models that were evicted shortly before. */
  get isThrashing(): boolean {
    return this.#thrash.isThrashing(performance.now())
  }

  /** As {@link ThrashDetector.recordLoad}, at this time. */
  recordLoad(ms: number, evictedAt: number | undefined): void {
    this.#thrash.recordLoad(performance.now(), ms, evictedAt)
  }

  /** Runs `work` when it is its turn. */
  async take(work: () => Promise<void>): Promise<void> {
    // A load that ends wakes one that waits.
    while (this.#running >= PARALLEL_LOADS)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#running += 1
    try {
      await this.#slowDown()
      await work()
    } finally {
      this.#running -= 1
      this.#waiting.shift()?.()
    }
  }

  async #slowDown(): Promise<void> {
    const { isThrashing } = this
    if (isThrashing && !this.#wasThrashing) this.#onThrash()
    this.#wasThrashing = isThrashing
    const pauseMs = this.#thrash.pauseMs(performance.now())
    if (pauseMs > 0) await delay(pauseMs)
  }
}
