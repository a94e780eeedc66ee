import { ServerError } from '../errors.ts'
import { Alarm } from './alarm.ts'
import { RestartPolicy } from './backoff.ts'
import { DrainRate } from './drain-rate.ts'
import { JobQueue } from './job-queue.ts'
import type { Job } from './job.ts'
import type { RejectionReason } from './metrics-causes.ts'
import { VersionMetrics } from './metrics-version.ts'
import type { PoolOptions } from './pool-options.ts'
import { recoverBatch, settleBatch } from './settle-batch.ts'
import { Slot, nextSlot } from './slot.ts'
import type { PoolWorker, SlotContext } from './slot.ts'
import { failed, overloaded } from './unavailable.ts'
import { waitAtMost } from './wait-at-most.ts'

export type { PoolWorker, Slot }

/** The workers of one model version and the jobs that wait for them. */
export class Pool {
  readonly metrics = new VersionMetrics()
  readonly #options: PoolOptions
  readonly #queue: JobQueue
  readonly #slots: Slot[] = []
  /** Slots that were scaled away and whose worker is not gone yet. */
  readonly #retiring = new Set<Slot>()
  readonly #restarts = new RestartPolicy()
  readonly #slotContext: SlotContext
  readonly #drainRate = new DrainRate()
  /** A job must not expire while its batch fills. */
  readonly #batchDelayMs: number
  #state: 'open' | 'draining' | 'closed' = 'open'
  #closed: Promise<void> | undefined
  #lastSlotId = 0
  /** Batches at workers. */
  #running = 0
  /** A job that arrives while all workers are busy mostly finds it set early enough. */
  readonly #alarm = new Alarm(() => this.#schedule())
  #sayIdle: (() => void) | undefined

  constructor(options: PoolOptions) {
    const { modelName, startWorker, log } = options
    this.#options = options
    this.#queue = new JobQueue(options.queue)
    this.#batchDelayMs = Math.min(options.maxBatchDelayMs, options.queueTimeoutMs / 2)
    this.#slotContext = {
      modelName,
      startWorker,
      log,
      restarts: this.#restarts,
      metrics: this.metrics,
      onChange: () => this.#schedule(),
    }
  }

  get slots(): readonly Slot[] {
    return this.#slots
  }

  get queued(): number {
    return this.#queue.length
  }

  get queuedBytes(): number {
    return this.#queue.bytes
  }

  get remainingCapacity(): number {
    return this.#queue.remainingCapacity
  }

  /** Workers that can take work. */
  get readyWorkers(): number {
    return this.#slots.filter((slot) => slot.worker.state === 'ready').length
  }

  /** True after repeated deaths, while no worker is there and one is started only now and then. */
  get hasFailed(): boolean {
    return this.#restarts.hasGivenUp && this.readyWorkers === 0
  }

  /**
   * Adds workers up to `count` or retires the newest ones. Resolves when all new ones are ready or the
   * retired ones, which finish what they have in hand for at most `drainMs`, are gone; rejects with the first failure to load, and then the slot is not kept.
   */
  async scale(count: number, drainMs = this.#options.queueTimeoutMs): Promise<void> {
    if (this.#state !== 'open') throw this.#refusal()
    const retired = this.#slots.splice(count)
    const missing = Math.max(0, count - this.#slots.length)
    const added = Array.from({ length: missing }, () => this.#addSlot())
    const outcomes = await Promise.allSettled([
      ...added,
      ...retired.map((slot) => this.#retire(slot, drainMs)),
    ])
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  /**
   * Accepts a job; its promise settles when it is done.
   * @throws ServerError `ServiceUnavailableException` when no worker is or will be there, or too many jobs wait.
   */
  submit(job: Job): void {
    const isOpen = this.#state === 'open' && this.#slots.length > 0 && !this.hasFailed
    if (isOpen && this.#queue.offer(job)) return this.#schedule()
    const refusal = this.#refusal(isOpen ? 'queue_full' : undefined)
    this.metrics.statuses.count(refusal.statusCode)
    throw refusal
  }

  /** The client left: a waiting job is dropped, a running one is finished and its answer discarded. */
  cancel(job: Job): void {
    if (job.isSettled) return
    this.#queue.forget(job)
    this.metrics.rejections.cancelled += 1
    job.reject(new ServerError('ClientClosedRequestException', 'The client closed the connection.'))
    this.#checkIdle()
  }

  /**
   * Puts a fresh slot in the place of one; it is ready before the old one gets no more work.
   * @throws ServerError when the fresh worker cannot load the model; the old one stays.
   */
  async replace(slot: Slot): Promise<void> {
    await this.#addSlot()
    const index = this.#slots.indexOf(slot)
    if (index === -1) return
    this.#slots.splice(index, 1)
    await this.#retire(slot, this.#options.queueTimeoutMs)
  }

  /** Stops accepting, lets accepted jobs finish for at most `drainMs`, then ends every worker. */
  close(drainMs: number): Promise<void> {
    this.#closed ??= this.#close(drainMs)
    return this.#closed
  }

  /**
   * The only place that hands out work or refuses what waits. Called after every event that brings
   * work, frees a worker or takes one away; safe to call at any time.
   */
  #schedule(): void {
    if (this.#state === 'closed' || this.#slots.length === 0 || this.hasFailed)
      this.#refuseWaiting()
    for (let oldest = this.#queue.peek(); oldest !== undefined; oldest = this.#queue.peek()) {
      const waitedMs = performance.now() - oldest.waitingSince
      const expiresInMs = this.#options.queueTimeoutMs - waitedMs
      if (expiresInMs <= 0) {
        this.#queue.forget(oldest)
        oldest.reject(this.#refusal('expired'))
        continue
      }
      const slot = nextSlot(this.#slots)
      const waitMs = slot === undefined ? expiresInMs : this.#fillsInMs(oldest, waitedMs)
      if (slot === undefined || waitMs > 0) {
        this.#alarm.set(waitMs)
        break
      }
      this.#run(slot, this.#queue.take(this.#options.batchSize))
    }
    this.#checkIdle()
  }

  /** Milliseconds that the batch of the oldest job may still wait for others. */
  #fillsInMs(oldest: Job, waitedMs: number): number {
    if (this.#queue.length >= this.#options.batchSize) return 0
    // A repeated job goes alone, and while the pool drains nobody can join.
    if (oldest.deaths > 0 || this.#state !== 'open') return 0
    return this.#batchDelayMs - waitedMs
  }

  #run(slot: Slot, jobs: readonly Job[]): void {
    this.#running += 1
    const takenAt = this.metrics.countTaken(jobs)
    const finish = (): void => {
      this.#running -= 1
      const now = performance.now()
      this.metrics.countReturned(jobs, now - takenAt)
      this.#drainRate.record(jobs.length, now, this.#queue.length)
      slot.recordReturn()
      this.#schedule()
    }
    slot.worker.predict(jobs.map((job) => job.request)).then(
      (reply) => {
        settleBatch(jobs, reply)
        slot.recordSuccess()
        finish()
      },
      (error: unknown) => {
        // A closed pool refuses what comes back, in #schedule.
        this.#queue.putBack(recoverBatch(jobs, error, this.#options.isRetryable))
        finish()
      },
    )
  }

  /** Fills a new slot and resolves when its first worker is ready. */
  async #addSlot(): Promise<void> {
    const slot = new Slot(++this.#lastSlotId, this.#slotContext)
    this.#slots.push(slot)
    try {
      await slot.start()
    } catch (error) {
      const index = this.#slots.indexOf(slot)
      if (index !== -1) this.#slots.splice(index, 1)
      this.#schedule()
      throw error
    }
  }

  /** Ends a slot that is no longer in the list, when its worker has finished what it has in hand. */
  async #retire(slot: Slot, drainMs: number): Promise<void> {
    this.#retiring.add(slot)
    this.#schedule()
    await slot.retire(drainMs)
    this.#retiring.delete(slot)
  }

  #refuseWaiting(): void {
    for (let job = this.#queue.peek(); job !== undefined; job = this.#queue.peek()) {
      this.#queue.forget(job)
      job.reject(this.#refusal())
    }
  }

  #checkIdle(): void {
    if (this.#queue.length === 0 && this.#running === 0) this.#sayIdle?.()
  }

  async #close(drainMs: number): Promise<void> {
    this.#state = 'draining'
    const isIdle = new Promise<void>((resolve) => (this.#sayIdle = resolve))
    this.#schedule()
    if (drainMs > 0) await waitAtMost(drainMs, isIdle)
    this.#state = 'closed'
    this.#alarm.stop()
    this.#schedule()
    await Promise.all([...this.#slots, ...this.#retiring].map((slot) => slot.retire(0)))
  }

  /** The error for a job that is refused; counted by its reason. */
  #refusal(reason: RejectionReason = this.hasFailed ? 'failed' : 'no_worker'): ServerError {
    this.metrics.rejections[reason] += 1
    const { modelName, overloadStatus } = this.#options
    if (this.hasFailed) {
      return failed(modelName, this.#slots.find((slot) => slot.lastFailure)?.lastFailure ?? '')
    }
    const status = reason === 'queue_full' ? overloadStatus : 503
    return overloaded(modelName, this.#drainRate.secondsFor(this.#queue.length), status)
  }
}
