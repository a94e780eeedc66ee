import type { Logger } from 'pino'
import { messageOf } from '../../errors.ts'
import type { ServerError } from '../../errors.ts'
import type { EvictionCause } from '../metrics/causes.ts'
import type { VersionMetrics } from '../metrics/version-metrics.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { outOfTime, unloading } from '../unavailable.ts'
import { sizeOf } from '../workers/memory-guard.ts'
import { LoadFailure } from './load-failure.ts'
import type { Loadable, ModelMemory } from './model-memory.ts'

/** Memory of a worker without a model, as far as processes do not share it. */
const EMPTY_WORKER_BYTES = 40 * 1024 * 1024

/** Whether a model is in memory. */
export type ResidencyState = 'UNLOADED' | 'LOADING' | 'READY' | 'UNLOADING'

/** What {@link OnDemand} needs from its model version. */
export interface OnDemandContext extends Pick<
  Loadable,
  'isWanted' | 'isBusy' | 'start' | 'measure'
> {
  readonly prepared: PreparedModel
  /** Returns the number of workers to start. */
  workers(): number
  /** Whether the last load found the weights in the cache. */
  isCached(): boolean
  /** Stops the workers; requests that come meanwhile wait. */
  stop(): Promise<void>
  /** Rejects the waiting requests. */
  rejectWaiting(error: ServerError): void
  readonly metrics: VersionMetrics
  readonly log: Logger
}

/**
 * Loads one model version when a request comes for it, once however many requests come, and unloads
 * it when its memory is needed.
 */
export class OnDemand implements Loadable {
  readonly name: string
  readonly version: string
  readonly isPinned: boolean
  readonly #context: OnDemandContext
  readonly #memory: ModelMemory
  #state: ResidencyState = 'UNLOADED'
  /** Memory at the last measurement. */
  #bytes = 0
  /** Memory after the last load; 0 until it is measured. */
  #loadedBytes = 0
  readonly #failure: LoadFailure
  #isClosed = false
  /** Callers of {@link loadNow} that wait. */
  #callers = 0
  /** The load or unload that runs now, or ran last. Never rejects. */
  #changing: Promise<void> = Promise.resolve()

  constructor(context: OnDemandContext, memory: ModelMemory) {
    this.name = context.prepared.name
    this.version = context.prepared.version
    this.isPinned = context.prepared.settings.pinned === true
    this.#failure = new LoadFailure(this.name)
    this.#context = context
    this.#memory = memory
  }

  get state(): ResidencyState {
    return this.#state
  }

  get isWanted(): boolean {
    return (this.#context.isWanted || this.#callers > 0) && this.#canLoad
  }

  get isBusy(): boolean {
    return this.#context.isBusy || this.#callers > 0
  }

  get isLoaded(): boolean {
    return this.#state === 'READY' && !this.#isClosed
  }

  /** Whether no worker is there, and none is being started. */
  get isResting(): boolean {
    return this.#state === 'UNLOADED' || this.#state === 'UNLOADING'
  }

  /** Memory of the workers in bytes at the last measurement; 0 while unloaded. */
  get bytes(): number {
    return this.#state === 'READY' ? this.#bytes : 0
  }

  /** As {@link LoadFailure.rejection}. */
  rejection(): ServerError | undefined {
    return this.#failure.rejection()
  }

  /** A request was accepted. Begins to load the model if it is not in memory. */
  use(): void {
    this.#memory.recordUse(this)
    if (this.#state !== 'UNLOADED' || !this.#canLoad) return
    this.#state = 'LOADING'
    this.#changing = this.#load()
  }

  /**
   * Loads the model although no request waits for it. Does nothing if it should have no worker.
   * @param maxWaitMs Maximum time to wait until the load can begin.
   * @throws ServerError of the load, or because the version is closed or the time is over.
   */
  async loadNow(maxWaitMs: number): Promise<void> {
    this.#callers += 1
    this.#failure.forget()
    let isLate = false
    const stopWaiting = (): void => {
      if (!isLate) this.#callers -= 1
      isLate = true
    }
    const timer = setTimeout(stopWaiting, maxWaitMs)
    try {
      while (!this.isLoaded && this.#context.workers() > 0) {
        if (this.#isClosed) throw unloading(this.name, 1)
        if (isLate) throw outOfTime(this.name, 1, maxWaitMs)
        const { last } = this.#failure
        if (last !== undefined) throw last.cause
        this.use()
        await this.#changing
      }
    } finally {
      clearTimeout(timer)
      stopWaiting()
    }
  }

  /** Called by {@link ModelMemory} when the model has its memory. */
  async start(): Promise<void> {
    await this.#context.start()
    // A request may have stopped all workers meanwhile.
    if (this.#canLoad) this.#state = 'READY'
    this.#loadedBytes = 0
  }

  async measure(): Promise<number> {
    const bytes = await this.#context.measure()
    if (bytes > 0) this.#bytes = bytes
    if (this.#loadedBytes === 0) this.#loadedBytes = bytes
    return bytes
  }

  unload(cause: EvictionCause): Promise<void> {
    this.#state = 'UNLOADING'
    this.#changing = this.#unload(cause)
    return this.#changing
  }

  async #unload(cause: EvictionCause): Promise<void> {
    this.#context.metrics.evictions[cause] += 1
    await this.#context.stop()
    this.#context.log.info({ cause, memoryMib: inMib(this.#bytes) }, 'model unloaded')
    this.#rest()
  }

  /** A request stopped all workers, or made loading them possible again. */
  recordScaling(hasWorkers: boolean): void {
    this.#failure.forget()
    if (hasWorkers || this.#state !== 'READY') return
    this.#memory.remove(this)
    this.#state = 'UNLOADED'
  }

  close(): void {
    this.#isClosed = true
    this.#memory.remove(this)
  }

  get #canLoad(): boolean {
    return !this.#isClosed && this.#context.workers() > 0
  }

  async #load(): Promise<void> {
    const begun = performance.now()
    try {
      await this.#memory.load(this, await this.#estimate())
      if (this.#state === 'LOADING') this.#rest()
      else this.#recordLoad(performance.now() - begun)
    } catch (error) {
      this.#fail(error)
    }
  }

  /**
   * Estimates the memory: as at the last measurement, else for each worker the model's files and an
   * empty worker. Only a model that was too large right after a load is refused: requests may have
   * needed the memory that was measured later, and a guess must not keep a model from being loaded.
   */
  async #estimate(): Promise<number> {
    const { budgetBytes } = this.#memory
    if (this.#loadedBytes > budgetBytes) return this.#loadedBytes
    if (this.#bytes > 0) return Math.min(this.#bytes, budgetBytes)
    const { archive, modelPath } = this.#context.prepared
    const fileBytes = archive?.bytes ?? (await sizeOf(modelPath))
    const bytes = this.#context.workers() * (EMPTY_WORKER_BYTES + fileBytes)
    return Math.min(bytes, budgetBytes)
  }

  /** Nothing is loaded. A request may have come since that was decided. */
  #rest(): void {
    this.#state = 'UNLOADED'
    if (this.isWanted) this.use()
  }

  #recordLoad(ms: number): void {
    this.#context.metrics.loads += 1
    this.#failure.recordSuccess()
    const { log } = this.#context
    log.info(
      { ms: Math.round(ms), memoryMib: inMib(this.#bytes), cached: this.#context.isCached() },
      'model loaded on demand',
    )
  }

  #fail(cause: unknown): void {
    this.#state = 'UNLOADED'
    if (this.#isClosed) return
    const { error, retryInMs } = this.#failure.record(cause)
    const context = this.#context
    context.log.error({ reason: messageOf(cause), retryInMs }, 'model could not be loaded')
    context.rejectWaiting(error)
  }
}

function inMib(bytes: number): number {
  return Math.ceil(bytes / 1024 / 1024)
}
