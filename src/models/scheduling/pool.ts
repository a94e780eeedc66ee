import { ServerError } from '../../errors.ts'
import type { WorkerReply } from '../../worker/wire/messages.ts'
import { VersionMetrics } from '../metrics/version-metrics.ts'
import { waitAtMost } from '../wait-at-most.ts'
import { Alarm } from './alarm.ts'
import { LearnedDelay } from './batch-delay.ts'
import { CrashList } from './crash-list.ts'
import { decide } from './dispatch-policy.ts'
import type { BatchFacts } from './dispatch-policy.ts'
import { DrainRate } from './drain-rate.ts'
import { JobQueue } from './job-queue.ts'
import type { Job } from './job.ts'
import type { PoolOptions } from './pool-options.ts'
import { Rejections } from './rejections.ts'
import type { Rejection } from './rejections.ts'
import { recoverBatch, settleBatch } from './settle-batch.ts'
import { SlotSet } from './slot-set.ts'
import type { PoolWorker, Slot } from './slot.ts'

export type { PoolWorker, Rejection, Slot }

/** The current state of a pool. */
export interface PoolStatus {
  /** True after repeated deaths, while no worker is ready and one is started only now and then. */
  readonly hasFailed: boolean
  /** Workers that can take work. */
  readonly readyWorkers: number
  readonly workers: readonly Slot[]
  /** Requests that wait for a worker. */
  readonly queued: number
  readonly queuedBytes: number
  /** Further requests that the queue has room for. */
  readonly remainingCapacity: number
}

/** The workers of one model version and the jobs that wait for them. */
export class Pool {
  readonly metrics = new VersionMetrics()
  readonly #options: PoolOptions
  readonly #queue: JobQueue
  readonly #slots: SlotSet
  readonly #drainRate = new DrainRate()
  readonly #rejections: Rejections
  readonly #crashes: CrashList
  /** Absent if the delay is fixed or batching is disabled. */
  readonly #learned: LearnedDelay | undefined
  #state: 'open' | 'draining' | 'closed' = 'open'
  #closed: Promise<void> | undefined
  /** Batches at workers. */
  #running = 0
  /**
   * A new job rarely needs to set it while all workers are busy: an earlier time is mostly set
   * already.
   */
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
    this.#rejections = new Rejections(options, this.metrics, this.#drainRate, this.#slots)
  }

  /** Stops workers that load the model for the first time. Workers that already serve stay. */
  stopStarting = (): void => this.#slots.stopStarting()

  get slots(): readonly Slot[] {
    return this.#slots.all
  }

  get queued(): number {
    return this.#queue.length
  }

  get status(): PoolStatus {
    return {
      hasFailed: this.#slots.hasFailed,
      readyWorkers: this.#slots.readyWorkers,
      workers: this.slots,
      queued: this.queued,
      queuedBytes: this.#queue.bytes,
      remainingCapacity: this.#queue.remainingCapacity,
    }
  }

  /** As {@link SlotSet.scale}. @throws ServerError 503 when the pool is closing. */
  async scale(count: number, drainMs = this.#options.queueTimeoutMs): Promise<void> {
    if (this.#state !== 'open') throw this.#rejections.noWorker(this.queued).error
    await this.#slots.scale(count, drainMs)
  }

  /**
   * Accepts a job; the job's promise settles when it is done.
   * @throws ServerError 503 if the pool has no worker; `overloadStatus` if the queue is full; 422
   * for a body that crashes workers.
   */
  submit(job: Job): void {
    this.#crashes.check(job, this.metrics)
    const { queued } = this
    if (!this.#isOpen) throw this.#rejections.count(this.#rejections.noWorker(queued))
    if (!this.#queue.offer(job)) throw this.#rejections.count(this.#rejections.full(queued))
    this.#learned?.recordArrival(job.waitingSince)
    this.#schedule()
  }

  /** Why {@link submit} would reject any job now; `undefined` if it would not. Counts nothing. */
  rejection(): Rejection | undefined {
    if (!this.#isOpen) return this.#rejections.noWorker(this.queued)
    return this.#queue.remainingCapacity > 0 ? undefined : this.#rejections.full(this.queued)
  }

  /** Counts a request that was rejected before it was submitted. */
  countRejection(rejection: Rejection): void {
    this.#rejections.count(rejection)
  }

  /**
   * The client disconnected. A waiting job is dropped; a running one finishes and its response is
   * discarded.
   */
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
    return this.#state === 'open' && this.slots.length > 0 && !this.#slots.hasFailed
  }

  /** As `SlotSet.replace`. */
  replace(slot: Slot): Promise<void> {
    return this.#slots.replace(slot, this.#options.queueTimeoutMs)
  }

  /**
   * Stops accepting jobs, lets accepted jobs finish for at most `drainMs`, then stops every worker.
   */
  close(drainMs: number): Promise<void> {
    this.#closed ??= this.#close(drainMs)
    return this.#closed
  }

  /**
   * The only place that sends work to workers or rejects waiting jobs. It runs after every event
   * that adds work, frees a worker or removes one; it may be called at any time.
   */
  #schedule(): void {
    if (this.#state === 'closed' || this.slots.length === 0 || this.#slots.hasFailed)
      this.#refuseWaiting()
    if (this.#queue.length > 0) this.#handOut(performance.now())
    this.#checkIdle()
  }

  /** Rejects expired jobs, then sends batches until all workers have enough or one must fill. */
  #handOut(now: number): void {
    for (let job = this.#queue.takeExpired(now); job; job = this.#queue.takeExpired(now))
      this.#rejections.reject(job, this.#rejections.expired(job, this.queued, now))
    for (let job = this.#queue.peek(); job !== undefined; job = this.#queue.peek()) {
      const decision = decide(this.slots, this.#nextBatch(job), now)
      if (decision.place === undefined) {
        this.#alarm.set(Math.min(decision.decideAt, this.#queue.expiresAt))
        return
      }
      this.#run(decision.place, this.#queue.take(this.#options.batchSize))
    }
  }

  /** Returns the facts about the batch that begins with `first`. */
  #nextBatch(first: Job): BatchFacts {
    const { maxBatchDelayMs } = this.#options
    // A repeated job goes alone. While the pool drains, no job can join.
    const isComplete = this.#hasFullBatch || first.deaths > 0 || this.#state !== 'open'
    const isLearned = maxBatchDelayMs === 'auto'
    return {
      isComplete,
      waitsUntil: isLearned
        ? (this.#learned?.until(this.#queue.length) ?? 0)
        : this.#queue.waitingSince + maxBatchDelayMs,
      waitsBesideIdleWorker: !isLearned,
      latestAt: this.#queue.halfExpiredAt,
    }
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
      // A batch behind another one started when that one came back.
      if (reply !== undefined && this.#learned !== undefined)
        this.#learned.recordReturn(now, jobs.length, now - Math.max(takenAt, slot.returnedAt))
      slot.recordReturn(now)
      if (worker.inFlight === 0 && this.#hasFullBatch) worker.progress.recordIdleWhileWaited()
      this.#schedule()
    }
    worker.predict(jobs.map((job) => job.request)).then(
      (reply) => {
        settleBatch(jobs, reply, this.#crashes)
        slot.recordSuccess(reply.code)
        finish(reply)
      },
      (error: unknown) => {
        // In a closed pool #schedule rejects the jobs that come back.
        this.#queue.putBack(recoverBatch(jobs, error, this.#options, this.#crashes))
        finish()
      },
    )
  }

  #refuseWaiting(): void {
    for (let [job] = this.#queue.take(1); job !== undefined; [job] = this.#queue.take(1))
      this.#rejections.reject(job, this.#rejections.noWorker(this.queued))
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
}
