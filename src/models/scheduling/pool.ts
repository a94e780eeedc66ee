import { ServerError } from '../../errors.ts'
import type { WorkerReply } from '../../worker/wire/messages.ts'
import type { RejectionReason } from '../metrics/causes.ts'
import { VersionMetrics } from '../metrics/version-metrics.ts'
import { failed, outOfTime, overloaded } from '../unavailable.ts'
import { waitAtMost } from '../wait-at-most.ts'
import { Alarm } from './alarm.ts'
import { LearnedDelay } from './batch-delay.ts'
import { CrashList } from './crash-list.ts'
import { DrainRate } from './drain-rate.ts'
import { JobQueue } from './job-queue.ts'
import type { Job } from './job.ts'
import type { PoolOptions } from './pool-options.ts'
import { recoverBatch, settleBatch } from './settle-batch.ts'
import { SlotSet } from './slot-set.ts'
import type { PoolWorker, Slot } from './slot.ts'

export type { PoolWorker, Slot }

/** The workers of one model version and the jobs that wait for them. */
export class Pool {
  readonly metrics = new VersionMetrics()
  readonly #options: PoolOptions
  readonly #queue: JobQueue
  readonly #slots: SlotSet
  readonly #drainRate = new DrainRate()
  readonly #crashes: CrashList
  /** Absent where the delay is fixed, or there are no batches. */
  readonly #learned: LearnedDelay | undefined
  #state: 'open' | 'draining' | 'closed' = 'open'
  #closed: Promise<void> | undefined
  /** Batches at workers. */
  #running = 0
  /** A job that arrives while all workers are busy mostly finds it set early enough. */
  readonly #alarm = new Alarm(() => this.#schedule())
  #sayIdle: (() => void) | undefined

  constructor(options: PoolOptions) {
    this.#options = options
    this.#queue = new JobQueue({
      ...options.queue,
      levels: options.priorityLevels,
      maxWaitMs: options.queueTimeoutMs,
    })
    if (options.maxBatchDelayMs === 'auto' && options.batchSize > 1)
      this.#learned = new LearnedDelay()
    this.#crashes = new CrashList(options.modelName, options.crashQuarantineMs)
    const onChange = (): void => this.#schedule()
    this.#slots = new SlotSet({ ...options, metrics: this.metrics, onChange })
  }

  /** Ends workers that load the model for the first time; those that serve go on. */
  stopStarting = (): void => this.#slots.stopStarting()

  get slots(): readonly Slot[] {
    return this.#slots.all
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
    return this.#slots.readyWorkers
  }

  /** True after repeated deaths, while no worker is there and one is started only now and then. */
  get hasFailed(): boolean {
    return this.#slots.hasFailed
  }

  /** As {@link SlotSet.scale}. @throws ServerError 503 once the pool is being closed. */
  async scale(count: number, drainMs = this.#options.queueTimeoutMs): Promise<void> {
    if (this.#state !== 'open') throw this.#refusal()
    await this.#slots.scale(count, drainMs)
  }

  /**
   * Accepts a job; its promise settles when it is done.
   * @throws ServerError 503 when no worker will be there or too many jobs wait; 422 for a body that crashes workers.
   */
  submit(job: Job): void {
    this.#crashes.check(job, this.metrics)
    if (!this.#isOpen || !this.#queue.offer(job)) throw this.#refuse()
    this.#learned?.recordArrival(job.waitingSince)
    this.#schedule()
  }

  /** What {@link submit} would throw for any job now, counted as if it had; `undefined` while there is room. */
  turnAway(): ServerError | undefined {
    return this.#isOpen && this.#queue.remainingCapacity > 0 ? undefined : this.#refuse()
  }

  /** The client left: a waiting job is dropped, a running one is finished and its answer discarded. */
  cancel(job: Job): void {
    if (job.isSettled) return
    this.#queue.forget(job)
    this.metrics.rejections.cancelled += 1
    job.reject(new ServerError('ClientClosedRequestException', 'The client closed the connection.'))
    this.#checkIdle()
  }

  get #hasFullBatch(): boolean {
    return this.#queue.length >= this.#options.batchSize
  }

  get #isOpen(): boolean {
    return this.#state === 'open' && this.slots.length > 0 && !this.hasFailed
  }

  /** As `SlotSet.replace`. */
  replace(slot: Slot): Promise<void> {
    return this.#slots.replace(slot, this.#options.queueTimeoutMs)
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
    if (this.#state === 'closed' || this.slots.length === 0 || this.hasFailed) this.#refuseWaiting()
    if (this.#queue.length > 0) this.#handOut(performance.now())
    this.#checkIdle()
  }

  /** Refuses what has waited too long, then gives batches to workers until all have enough or a batch has yet to fill. */
  #handOut(now: number): void {
    for (let job = this.#queue.takeExpired(now); job; job = this.#queue.takeExpired(now))
      job.reject(this.#expired(job, now))
    for (let job = this.#queue.peek(); job !== undefined; job = this.#queue.peek()) {
      const isComplete = this.#isComplete(job)
      const slot = this.#slots.next(isComplete)
      const fillsAt = slot === undefined ? Number.POSITIVE_INFINITY : this.#fillsAt(slot)
      if (slot === undefined || (!isComplete && fillsAt > now)) {
        this.#alarm.set(Math.min(fillsAt, this.#queue.expiresAt))
        return
      }
      this.#run(slot, this.#queue.take(this.#options.batchSize))
    }
  }

  /** Whether nobody can join the next batch, which begins with `first`. */
  #isComplete(first: Job): boolean {
    // A repeated job goes alone, and while the pool drains nobody comes.
    return this.#hasFullBatch || first.deaths > 0 || this.#state !== 'open'
  }

  /** Until when the next batch may wait for others before it goes to `slot`. No job expires meanwhile. */
  #fillsAt(slot: Slot): number {
    return Math.min(this.#delayedUntil(slot), this.#queue.halfExpiredAt)
  }

  #delayedUntil(slot: Slot): number {
    const { maxBatchDelayMs } = this.#options
    if (maxBatchDelayMs !== 'auto') return this.#queue.waitingSince + maxBatchDelayMs
    // Who comes later can have a worker of its own.
    if (this.#learned === undefined || this.#slots.hasIdleBeside(slot)) return 0
    return this.#learned.until(this.#queue.length)
  }

  #run(slot: Slot, jobs: readonly Job[]): void {
    const { worker } = slot
    this.#running += 1
    const takenAt = this.metrics.countTaken(jobs)
    const finish = (reply?: WorkerReply): void => {
      this.#running -= 1
      const now = performance.now()
      this.metrics.countReturned(jobs, now - takenAt, reply?.message)
      this.#drainRate.record(jobs.length, now, this.#queue.length)
      // A batch that waited behind another one ran from when that came back.
      if (reply !== undefined && this.#learned !== undefined)
        this.#learned.recordReturn(now, jobs.length, now - Math.max(takenAt, slot.returnedAt))
      slot.recordReturn(now)
      if (worker.inFlight === 0 && this.#hasFullBatch) worker.recordStarved()
      this.#schedule()
    }
    worker.predict(jobs.map((job) => job.request)).then(
      (reply) => {
        settleBatch(jobs, reply, this.#crashes)
        slot.recordSuccess(reply.code)
        finish(reply)
      },
      (error: unknown) => {
        // A closed pool refuses what comes back, in #schedule.
        this.#queue.putBack(recoverBatch(jobs, error, this.#options, this.#crashes))
        finish()
      },
    )
  }

  #refuseWaiting(): void {
    for (let [job] = this.#queue.take(1); job !== undefined; [job] = this.#queue.take(1))
      job.reject(this.#refusal())
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
    await this.#slots.close()
  }

  /** The error for a job that no worker took in time; counted. */
  #expired({ deadline }: Job, now: number): ServerError {
    this.metrics.rejections.expired += 1
    const retryAfter = this.#drainRate.secondsFor(this.#queue.length)
    const { modelName, queueTimeoutMs } = this.#options
    const limitMs = deadline === undefined || deadline > now ? queueTimeoutMs : undefined
    return outOfTime(modelName, retryAfter, limitMs)
  }

  /** The error for a job that is not accepted; counted. */
  #refuse(): ServerError {
    const refusal = this.#refusal(this.#isOpen ? 'queue_full' : undefined)
    this.metrics.statuses.count(refusal.statusCode)
    return refusal
  }

  /** The error for a job that is refused; counted by its reason. */
  #refusal(reason: RejectionReason = this.hasFailed ? 'failed' : 'no_worker'): ServerError {
    this.metrics.rejections[reason] += 1
    const { modelName, overloadStatus } = this.#options
    if (this.hasFailed) return failed(modelName, this.#slots.lastFailure)
    const status = reason === 'queue_full' ? overloadStatus : 503
    return overloaded(modelName, this.#drainRate.secondsFor(this.#queue.length), status)
  }
}
