import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import { isStopped, watchForStop } from '../../worker/host/child-process/stopped-process.ts'
import type { StartedProcess } from '../../worker/host/child-process/worker-process.ts'
import type { OwnProcess } from './process-starter.ts'

/** Bytes. With less memory available, `auto` keeps no spare worker. */
const AUTO_LEAST_BYTES = 1024 ** 3
/** Milliseconds that a spare worker may take to start. */
const START_MS = 30_000
/** Milliseconds. The death of a spare worker that has lived so long does not delay the next one. */
const LONG_LIFE_MS = 10_000
/** Milliseconds without spare workers after memory was short. */
const SHORTAGE_MS = 60_000
const FIRST_DELAY_MS = 50
/** The longest delays before the next start: after deaths at the start, and after later ones. */
const MAX_START_DELAY_MS = 10_000
const MAX_LATER_DELAY_MS = 1000

/** What spare workers need from the server. */
export interface SpareOptions {
  readonly wanted: Config['spareWorkers']
  /** Starts a process without a model. */
  readonly start: () => OwnProcess
  readonly availableBytes: () => Promise<number>
  readonly log: Logger
}

interface Spare extends OwnProcess {
  readonly startedAt: number
  isReady: boolean
  /** Ends what watches a spare process. */
  release(): void
}

/**
 * Processes that are started before their model is known: with the code of the built-in handlers
 * and onnxruntime, but without any data of a model. The server has one such set.
 */
export class SpareWorkers {
  readonly #options: SpareOptions
  readonly #spares = new Set<Spare>()
  /** Whether spare workers are kept now; `auto` begins with the first loaded model. */
  #isWanted: boolean
  /** Workers that load a model. No spare worker is started meanwhile: it would slow them down. */
  #loading = 0
  /** Deaths in a row. */
  #deaths = 0
  #delay: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: SpareOptions) {
    this.#options = options
    this.#isWanted = options.wanted !== 'auto'
  }

  /** Spare workers by state. */
  get counts(): { readonly starting: number; readonly ready: number } {
    const ready = [...this.#spares].filter(({ isReady }) => isReady).length
    return { starting: this.#spares.size - ready, ready }
  }

  /** Starts what is missing, unless a worker loads a model. */
  refill(): void {
    if (this.#loading > 0 || this.#delay !== undefined) return
    void this.#fill()
  }

  /** Takes note of a worker that begins to load a model of a built-in handler. */
  noteLoad(ready: Promise<void>): void {
    this.#loading += 1
    const finish = (): void => {
      this.#loading -= 1
      this.refill()
    }
    ready.then(() => {
      this.#isWanted = true
      finish()
    }, finish)
  }

  /** Takes a ready process for a model with these options; `undefined` if there is none. */
  take(options: string): StartedProcess | undefined {
    for (const spare of this.#spares) {
      if (!spare.isReady) continue
      this.#forget(spare)
      const { process } = spare
      try {
        if (process.hasExited || isStopped(process.pid)) throw new Error('it does not run')
        spare.giveOptions(options)
        this.#deaths = 0
        return process
      } catch (error) {
        this.#options.log.warn({ pid: process.pid, error }, 'a spare worker cannot be used')
        process.kill()
      }
    }
    return undefined
  }

  /**
   * Ends all spare workers because memory is short. They come back after a minute.
   * @returns Whether there were any.
   */
  async giveUp(): Promise<boolean> {
    const count = await this.#endAll()
    if (count === 0) return false
    this.#options.log.info({ count }, 'memory is short: spare workers are ended')
    this.#refillAfter(SHORTAGE_MS)
    return true
  }

  /** Ends all spare workers; none is started any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#delay)
    await this.#endAll()
  }

  async #endAll(): Promise<number> {
    const spares = [...this.#spares]
    for (const spare of spares) {
      this.#forget(spare)
      spare.process.kill()
    }
    await Promise.all(spares.map(({ process }) => process.exited))
    return spares.length
  }

  async #fill(): Promise<void> {
    const { wanted, availableBytes } = this.#options
    if (!this.#isWanted || wanted === 0) return
    if (wanted === 'auto' && (await availableBytes()) < AUTO_LEAST_BYTES) return
    const count = wanted === 'auto' ? 1 : wanted
    // A load may have begun meanwhile.
    while (!this.#isClosed && this.#loading === 0 && this.#spares.size < count) this.#startOne()
  }

  #startOne(): void {
    const { start, log } = this.#options
    const own = start()
    const { process } = own
    process.onLine = (line, stream) =>
      log[stream === 'stdout' ? 'debug' : 'info']({ stream, line }, 'spare worker output')
    const endWatch = watchForStop(
      () => process.pid,
      () => process.kill(),
    )
    const timer = setTimeout(() => process.kill(), START_MS)
    const release = (): void => {
      endWatch()
      clearTimeout(timer)
    }
    const spare: Spare = { ...own, startedAt: performance.now(), isReady: false, release }
    this.#spares.add(spare)
    void process.isListening.then(() => {
      clearTimeout(timer)
      spare.isReady = true
      log.debug({ pid: process.pid }, 'a spare worker is ready')
    })
    void process.exited.then(({ text }) => {
      if (!this.#forget(spare)) return
      const restartInMs = this.#delayAfter(spare)
      log.warn(
        { pid: process.pid, cause: text, stderr: process.lastErrors.slice(-5), restartInMs },
        'spare worker died',
      )
      this.#refillAfter(restartInMs)
    })
  }

  /** Starts no spare worker before the time is over. */
  #refillAfter(ms: number): void {
    clearTimeout(this.#delay)
    this.#delay = setTimeout(() => {
      this.#delay = undefined
      this.refill()
    }, ms)
  }

  /** Returns false if the process is no spare worker any more. */
  #forget(spare: Spare): boolean {
    spare.release()
    return this.#spares.delete(spare)
  }

  #delayAfter({ startedAt, isReady }: Spare): number {
    if (performance.now() - startedAt >= LONG_LIFE_MS) this.#deaths = 0
    this.#deaths += 1
    const longest = isReady ? MAX_LATER_DELAY_MS : MAX_START_DELAY_MS
    return Math.min(FIRST_DELAY_MS * 2 ** (this.#deaths - 1), longest)
  }
}
