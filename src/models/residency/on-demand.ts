import type { Logger } from 'pino'
import { ServerError, messageOf } from '../../errors.ts'
import type { EvictionCause } from '../metrics/causes.ts'
import type { VersionMetrics } from '../metrics/version-metrics.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { unloading } from '../unavailable.ts'
import { sizeOf } from '../workers/memory-guard.ts'
import type { Loadable, ModelMemory } from './model-memory.ts'

/** A failed load is tried again after 1 s, then after twice as long each time, at most 60 s. */
const FIRST_RETRY_MS = 1000
const MOST_RETRY_MS = 60_000

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
  #failures = 0
  #failure: { readonly cause: unknown; readonly retryAt: number } | undefined
  #isClosed = false
  /** Callers of {@link loadNow} that wait. */
  #callers = 0
  /** The load or unload that runs now, or ran last. Never rejects. */
  #changing: Promise<void> = Promise.resolve()

  constructor(context: OnDemandContext, memory: ModelMemory) {
    this.name = context.prepared.name
    this.version = context.prepared.version
    this.isPinned = context.prepared.settings.pinned === true
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

  /**
   * Why a request cannot be accepted now: the last load failed, and it is too early to try again.
   */
  rejection(): ServerError | undefined {
    if (this.#failure === undefined) return undefined
    const leftMs = this.#failure.retryAt - performance.now()
    return leftMs > 0 ? this.#failureWith(this.#failure.cause, Math.ceil(leftMs / 1000)) : undefined
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
   * @throws ServerError of the load, or because the version is closed.
   */
  async loadNow(): Promise<void> {
    this.#callers += 1
    this.#forgetFailure()
    try {
      while (!this.isLoaded && this.#context.workers() > 0) {
        if (this.#isClosed) throw unloading(this.name, 1)
        const failure = this.#failure
        if (failure !== undefined) throw failure.cause
        this.use()
        await this.#changing
      }
    } finally {
      this.#callers -= 1
    }
  }

  /** Called by {@link ModelMemory} when the model has its memory. */
  async start(): Promise<void> {
    await this.#context.start()
    // A request may have stopped all workers meanwhile.
    if (this.#canLoad) this.#state = 'READY'
  }

  async measure(): Promise<number> {
    const bytes = await this.#context.measure()
    if (bytes > 0) this.#bytes = bytes
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
    this.#forgetFailure()
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
      await this.#memory.load(this, this.#bytes > 0 ? this.#bytes : await this.#estimate())
      if (this.#state === 'LOADING') this.#rest()
      else this.#recordLoad(performance.now() - begun)
    } catch (error) {
      this.#fail(error)
    }
  }

  /**
   * Estimates the memory before the first load: for each worker the model's files and an empty
   * worker. What is known only roughly must not keep a model from being loaded.
   */
  async #estimate(): Promise<number> {
    const fileBytes = await sizeOf(this.#context.prepared.modelPath)
    const bytes = this.#context.workers() * (EMPTY_WORKER_BYTES + fileBytes)
    return Math.min(bytes, this.#memory.budgetBytes)
  }

  /** Nothing is loaded. A request may have come since that was decided. */
  #rest(): void {
    this.#state = 'UNLOADED'
    if (this.isWanted) this.use()
  }

  #recordLoad(ms: number): void {
    this.#context.metrics.loads += 1
    this.#failures = 0
    this.#failure = undefined
    const { log } = this.#context
    log.info(
      { ms: Math.round(ms), memoryMib: inMib(this.#bytes), cached: this.#context.isCached() },
      'model loaded on demand',
    )
  }

  /** The next request loads the model at once. */
  #forgetFailure(): void {
    this.#failure = undefined
  }

  #fail(cause: unknown): void {
    this.#state = 'UNLOADED'
    if (this.#isClosed) return
    const delayMs = Math.min(MOST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures)
    this.#failures += 1
    this.#failure = { cause, retryAt: performance.now() + delayMs }
    const context = this.#context
    context.log.error({ reason: messageOf(cause), retryInMs: delayMs }, 'model could not be loaded')
    context.rejectWaiting(this.#failureWith(cause, Math.ceil(delayMs / 1000)))
  }

  #failureWith(cause: unknown, retryAfterSeconds: number): ServerError {
    const statusCode = cause instanceof ServerError && cause.statusCode === 507 ? 507 : 503
    const text = `Model ${this.name} could not be loaded: ${messageOf(cause, 500)}`
    return new ServerError('ServiceUnavailableException', text, {
      statusCode,
      retryAfterSeconds,
      cause,
    })
  }
}

function inMib(bytes: number): number {
  return Math.ceil(bytes / 1024 / 1024)
}
