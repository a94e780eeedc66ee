import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { ServerError } from '../errors.ts'
import type { Worker } from '../worker/host/worker.ts'
import { WorkerDiedError } from '../worker/host/outcomes.ts'
import { RestartPolicy } from './backoff.ts'
import type { Job } from './job.ts'
import { JobQueue } from './job-queue.ts'
import type { QueueLimits } from './job-queue.ts'
import { settleBatch } from './settle-batch.ts'

/** The part of a worker that a pool uses. */
export type PoolWorker = Pick<
  Worker,
  'predict' | 'ready' | 'exited' | 'stop' | 'kill' | 'state' | 'pid' | 'inFlight' | 'depth' | 'answered' | 'startedAt' | 'lastErrors'
>

export interface PoolOptions {
  readonly modelName: string
  /** Jobs in one batch, at most. */
  readonly batchSize: number
  /** Milliseconds the oldest job waits for its batch to fill. */
  readonly maxBatchDelayMs: number
  readonly queue: QueueLimits
  /** Milliseconds a job may wait before a worker takes it. */
  readonly queueTimeoutMs: number
  /** Running a request twice does no harm. */
  readonly isRetryable: boolean
  readonly startWorker: (slotId: number) => PoolWorker
  readonly log: Logger
}

/** One place for a worker. The worker in it is replaced when it dies; the slot keeps its id and its history. */
export interface Slot {
  readonly id: number
  worker: PoolWorker
  restarts: number
  lastFailure: string | undefined
  /** The slot was scaled away: its worker is not replaced. */
  isRetired: boolean
}

/** The workers of one model version and the jobs that wait for them. */
export class Pool {
  readonly #options: PoolOptions
  readonly #queue: JobQueue
  readonly #slots: Slot[] = []
  readonly #restarts = new RestartPolicy()
  readonly #closing = new AbortController()
  #closed: Promise<void> | undefined
  #nextSlotId = 1
  #running = 0
  #wakeUp: NodeJS.Timeout | undefined
  #notifyIdle: (() => void) | undefined

  constructor(options: PoolOptions) {
    this.#options = options
    this.#queue = new JobQueue(options.queue)
  }

  get slots(): readonly Slot[] {
    return this.#slots
  }

  get queued(): number {
    return this.#queue.length
  }

  get remainingCapacity(): number {
    return this.#queue.remainingCapacity
  }

  /** Workers that can take work. */
  get readyWorkers(): number {
    return this.#slots.filter((slot) => slot.worker.state === 'ready').length
  }

  /** True after repeated deaths, while the model is tried only now and then. */
  get hasFailed(): boolean {
    return this.#restarts.hasGivenUp
  }

  /**
   * Adds workers up to `count` or retires the newest ones. Resolves when all new ones are ready or the
   * retired ones are gone; rejects with the first failure to load, and then the slot is not kept.
   */
  async scale(count: number): Promise<void> {
    const retired = this.#slots.splice(count)
    const added = Array.from({ length: Math.max(0, count - this.#slots.length) }, () => this.#addSlot())
    const outcomes = await Promise.allSettled([...added, ...retired.map((slot) => this.#retire(slot))])
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  /**
   * Accepts a job; its promise settles when it is done.
   * @throws ServerError `ServiceUnavailableException` when no worker is or will be there, or too many jobs wait.
   */
  submit(job: Job): void {
    if (this.#closed !== undefined || this.#slots.length === 0 || this.hasFailed || !this.#queue.offer(job)) {
      throw this.#unavailable()
    }
    this.#schedule()
  }

  /** The client left: a waiting job is dropped, a running one is finished and its answer discarded. */
  cancel(job: Job): void {
    if (job.isSettled) return
    job.reject(new ServerError('ClientClosedRequestException', 'The client closed the connection.'))
    this.#queue.forget(job)
  }

  /** Stops accepting, lets accepted jobs finish for at most `drainMs`, then ends every worker. */
  close(drainMs: number): Promise<void> {
    this.#closed ??= this.#close(drainMs)
    return this.#closed
  }

  /** The only place that hands out work. Called after every event that brings work or frees a worker; safe to call at any time. */
  #schedule(): void {
    for (;;) {
      const oldest = this.#queue.peek()
      if (oldest === undefined) break
      const slot = this.#freeSlot()
      const now = performance.now()
      const expiresInMs = oldest.enqueuedAt + this.#options.queueTimeoutMs - now
      if (expiresInMs <= 0) {
        for (const job of this.#queue.take(1)) job.reject(this.#unavailable())
        continue
      }
      if (slot === undefined) {
        this.#wakeUpIn(expiresInMs)
        break
      }
      const fillsInMs = oldest.enqueuedAt + this.#options.maxBatchDelayMs - now
      if (this.#queue.length < this.#options.batchSize && fillsInMs > 0 && oldest.deaths === 0) {
        this.#wakeUpIn(Math.min(fillsInMs, expiresInMs))
        break
      }
      void this.#run(slot, this.#queue.take(this.#options.batchSize))
    }
    if (this.#queue.length === 0 && this.#running === 0) this.#notifyIdle?.()
  }

  async #run(slot: Slot, jobs: Job[]): Promise<void> {
    this.#running += 1
    try {
      settleBatch(jobs, await slot.worker.predict(jobs.map((job) => job.request)))
      this.#restarts.recordSuccess()
    } catch (error) {
      this.#recover(jobs, error)
    }
    this.#running -= 1
    this.#schedule()
  }

  /** Jobs that a worker took with it run once more, each alone; one that kills a second worker is refused. */
  #recover(jobs: readonly Job[], error: unknown): void {
    const waiting = jobs.filter((job) => !job.isSettled)
    const died = error instanceof WorkerDiedError
    if (died && error.hadStarted) for (const job of waiting) job.deaths += 1
    const mayRun = (job: Job): boolean =>
      died && !this.hasFailed && !this.#closing.signal.aborted && (!error.hadStarted || (this.#options.isRetryable && job.deaths < 2))
    this.#queue.putBack(waiting.filter(mayRun))
    const failure = error instanceof Error ? error : new Error(String(error))
    for (const job of waiting) if (!job.isQueued) job.reject(failure)
  }

  /** The ready worker with the least in hand that should get more. */
  #freeSlot(): Slot | undefined {
    let best: Slot | undefined
    for (const slot of this.#slots) {
      const { worker } = slot
      if (worker.state !== 'ready' || worker.inFlight >= worker.depth) continue
      if (best === undefined || worker.inFlight < best.worker.inFlight) best = slot
    }
    return best
  }

  #wakeUpIn(ms: number): void {
    clearTimeout(this.#wakeUp)
    this.#wakeUp = setTimeout(() => this.#schedule(), Math.ceil(ms))
    this.#wakeUp.unref()
  }

  /** Fills a new slot and resolves when its first worker is ready. */
  async #addSlot(): Promise<void> {
    const id = this.#nextSlotId++
    const slot: Slot = { id, worker: this.#options.startWorker(id), restarts: 0, lastFailure: undefined, isRetired: false }
    this.#slots.push(slot)
    try {
      await slot.worker.ready
    } catch (error) {
      slot.isRetired = true
      this.#slots.splice(this.#slots.indexOf(slot), 1)
      throw error
    }
    void this.#supervise(slot)
    this.#schedule()
  }

  /** Replaces the worker of a slot each time it dies, until the slot is retired or the pool closes. */
  async #supervise(slot: Slot): Promise<void> {
    for (;;) {
      const { worker } = slot
      const isReady = await worker.ready.then(() => true, () => false)
      if (isReady) this.#schedule()
      const cause = await worker.exited
      if (slot.isRetired || this.#closing.signal.aborted) return
      slot.lastFailure = await worker.ready.then(() => `The worker ${cause.text}.`, (error: Error) => error.message)
      const isSuspicious = !isReady || (worker.inFlight > 0 && worker.answered === 0)
      const waitMs = this.#restarts.delayAfterDeath(isSuspicious)
      this.#options.log.warn(
        { model: this.#options.modelName, worker: slot.id, pid: worker.pid, cause: slot.lastFailure, stderr: worker.lastErrors.slice(-5), restartInMs: waitMs },
        'worker died',
      )
      if (this.hasFailed) this.#refuseWaiting()
      try {
        await delay(waitMs, undefined, { signal: this.#closing.signal })
      } catch {
        return
      }
      if (slot.isRetired) return
      slot.restarts += 1
      slot.worker = this.#options.startWorker(slot.id)
    }
  }

  async #retire(slot: Slot): Promise<void> {
    slot.isRetired = true
    const deadline = performance.now() + this.#options.queueTimeoutMs
    while (slot.worker.inFlight > 0 && performance.now() < deadline) {
      await Promise.race([slot.worker.exited, delay(10)])
    }
    await slot.worker.stop()
  }

  #refuseWaiting(): void {
    for (const job of this.#queue.take(Number.MAX_SAFE_INTEGER)) job.reject(this.#unavailable())
  }

  async #close(drainMs: number): Promise<void> {
    const isIdle = this.#queue.length === 0 && this.#running === 0
    if (!isIdle && this.#slots.length > 0 && drainMs > 0) {
      const idle = new Promise<void>((resolve) => (this.#notifyIdle = resolve))
      await Promise.race([idle, delay(drainMs, undefined, { ref: false })])
    }
    this.#closing.abort()
    clearTimeout(this.#wakeUp)
    for (let left = this.#queue.peek(); left !== undefined; left = this.#queue.peek()) this.#refuseWaiting()
    await Promise.all(
      this.#slots.map(({ worker }) => {
        if (worker.inFlight > 0) worker.kill('was still at work when the model was stopped')
        return worker.stop()
      }),
    )
  }

  #unavailable(): ServerError {
    const { modelName } = this.#options
    const text = this.hasFailed
      ? `Model ${modelName} has failed: its workers keep dying. ${this.#slots.find((slot) => slot.lastFailure)?.lastFailure ?? ''}`.trim()
      : `No worker is available to serve request for model: ${modelName}. Consider increasing job queue size.`
    return new ServerError('ServiceUnavailableException', text, { retryAfterSeconds: this.hasFailed ? 60 : 1 })
  }
}
