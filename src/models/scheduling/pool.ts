import { ServerError } from '../../errors.ts'
import { VersionMetrics } from '../metrics/version-metrics.ts'
import { waitAtMost } from '../wait-at-most.ts'
import { CrashList } from './crash-list.ts'
import { Dispatcher } from './dispatcher.ts'
import { DrainRate } from './drain-rate.ts'
import type { PoolOptions } from './pool-options.ts'
import { JobQueue } from './queue/job-queue.ts'
import type { Job } from './queue/job.ts'
import type { QueuedJob } from './queue/queued-job.ts'
import { Rejections } from './rejections.ts'
import type { Rejection } from './rejections.ts'
import type { WaitReason } from './request-timing.ts'
import { SlotSet } from './slots/slot-set.ts'
import type { PoolWorker, Slot } from './slots/slot.ts'

export type { PoolWorker, QueuedJob, Rejection, Slot }

/** The current state of a pool. */
export interface PoolStatus {
  /** True after repeated deaths, while no worker is ready and one is started only now and then. */
  readonly hasFailed: boolean
  /** Workers that can take work. */
  readonly readyWorkers: number
  readonly workers: readonly Slot[]
  /** Whether a request waits or runs. */
  readonly isBusy: boolean
  /** Requests that wait for a worker. */
  readonly queued: number
  readonly queuedBytes: number
  /** Requests at workers. */
  readonly running: number
  /** Requests that the ready workers can run at once: full batches, one for each worker. */
  readonly capacity: number
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
  readonly #dispatcher: Dispatcher
  #state: 'open' | 'draining' | 'closed' = 'open'
  #closed: Promise<void> | undefined
  #sayIdle: (() => void) | undefined

  constructor(options: PoolOptions) {
    this.#options = options
    this.#queue = new JobQueue({
      ...options.queue,
      levels: options.priorityLevels,
      maxWaitMs: options.queueTimeoutMs,
    })
    this.#crashes = new CrashList(options.modelName, options.crashQuarantineMs)
    const onChange = (): void => this.#schedule()
    this.#slots = new SlotSet({ ...options, metrics: this.metrics, onChange })
    this.#rejections = new Rejections(options, this.metrics, this.#drainRate, this.#slots)
    this.#dispatcher = new Dispatcher({
      options,
      queue: this.#queue,
      slots: this.#slots,
      metrics: this.metrics,
      drainRate: this.#drainRate,
      crashes: this.#crashes,
      onChange,
    })
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
      isBusy: this.queued > 0 || this.#dispatcher.running > 0,
      queued: this.queued,
      queuedBytes: this.#queue.bytes,
      running: this.#dispatcher.runningRequests,
      capacity: this.#slots.readyWorkers * this.#options.batchSize,
      remainingCapacity: this.#queue.remainingCapacity,
    }
  }

  /**
   * As {@link SlotSet.scale}.
   * @throws ServerError 503 when the pool is closing, unless accepted jobs wait for their worker.
   */
  async scale(count: number, drainMs = this.#options.queueTimeoutMs): Promise<void> {
    const isWanted = this.#options.onDemand !== undefined && this.queued > 0
    if (this.#state === 'closed' || (this.#state === 'draining' && !isWanted))
      throw this.#rejections.noWorker(this.queued).error
    const scaled = this.#slots.scale(count, drainMs)
    // Requests may wait without a worker; without a wanted one they are rejected now.
    this.#schedule()
    await scaled
  }

  /**
   * Accepts a job; the job's promise settles when it is done. The result is for {@link cancel}.
   * @throws ServerError 503 if the pool has no worker; `overloadStatus` if the queue is full; 422
   * for a body that crashes workers.
   */
  submit(job: Job): QueuedJob {
    this.#crashes.check(job, this.metrics)
    const { queued } = this
    if (!this.#isOpen) throw this.#rejections.count(this.#rejections.noWorker(queued))
    const unloadable = this.#unloadable()
    if (unloadable !== undefined) throw this.#rejections.count(unloadable)
    const accepted = this.#queue.offer(job)
    if (accepted === undefined) throw this.#rejections.count(this.#rejections.full(queued))
    this.#dispatcher.recordArrival(accepted)
    const { onDemand } = this.#options
    if (onDemand !== undefined) {
      accepted.isCold = this.#slots.readyWorkers === 0
      onDemand.onRequest()
    }
    this.#schedule()
    if (accepted.isWaiting) accepted.timing.waitReason = this.#waitReasonOf(accepted)
    return accepted
  }

  #waitReasonOf({ isCold }: QueuedJob): WaitReason {
    if (isCold) return 'cold load'
    const hasIdle = this.slots.some(({ worker }) => worker.isReady && worker.inFlight === 0)
    return hasIdle ? 'batch filling' : 'no free worker'
  }

  /** Why {@link submit} would reject any job now; `undefined` if it would not. Counts nothing. */
  rejection(): Rejection | undefined {
    if (!this.#isOpen) return this.#rejections.noWorker(this.queued)
    const unloadable = this.#unloadable()
    if (unloadable !== undefined) return unloadable
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
  cancel(queued: QueuedJob): void {
    const { job } = queued
    if (job.isSettled) return
    this.#queue.forget(queued)
    this.metrics.rejections.cancelled += 1
    job.reject(new ServerError('ClientClosedRequestException', 'The client closed the connection.'))
    this.#checkIdle()
  }

  get #isOpen(): boolean {
    return this.#state === 'open' && this.#canServe
  }

  /** Whether there is a worker, or one can be started, that serves what waits. */
  get #canServe(): boolean {
    const hasWorkers = this.slots.length > 0 || this.#options.onDemand?.canStart() === true
    return hasWorkers && !this.#slots.hasFailed
  }

  #unloadable(): Rejection | undefined {
    const error = this.#options.onDemand?.rejection()
    return error && { reason: 'failed', error }
  }

  /** Rejects the requests that wait, because no worker can be started for them. */
  rejectWaiting(error: ServerError): void {
    for (const { job } of this.#takeAll()) this.#rejections.reject(job, { reason: 'failed', error })
  }

  /** As `SlotSet.replace`. */
  replace(slot: Slot): Promise<void> {
    return this.#slots.replace(slot, this.#options.queueTimeoutMs)
  }

  /**
   * Stops accepting jobs, lets accepted jobs finish for at most `drainMs`, then stops every worker.
   */
  close(drainMs: number): Promise<void> {
    return (this.#closed ??= this.#close(drainMs))
  }

  /**
   * The only place that sends work to workers or rejects waiting jobs. It runs after every event
   * that adds work, frees a worker or removes one; it may be called at any time.
   */
  #schedule(): void {
    if (this.#state === 'closed' || !this.#canServe) this.#refuseWaiting()
    if (this.#queue.length > 0) {
      const now = performance.now()
      this.#refuseExpired(now)
      this.#dispatcher.handOut(now, this.#state === 'open')
    }
    this.#checkIdle()
  }

  #refuseExpired(now: number): void {
    for (let late = this.#queue.takeExpired(now); late; late = this.#queue.takeExpired(now))
      this.#rejections.reject(late.job, this.#rejections.expired(late.job, this.queued, now))
  }

  #refuseWaiting(): void {
    for (const { job } of this.#takeAll())
      this.#rejections.reject(job, this.#rejections.noWorker(this.queued))
  }

  /** Takes all waiting jobs, one after the other, so that each learns how many wait behind it. */
  *#takeAll(): Generator<QueuedJob> {
    for (;;) {
      const queued = this.#queue.takeSuspect()[0] ?? this.#queue.take(1)[0]
      if (queued === undefined) return
      yield queued
    }
  }

  #checkIdle(): void {
    if (this.#queue.length === 0 && this.#dispatcher.running === 0) this.#sayIdle?.()
  }

  async #close(drainMs: number): Promise<void> {
    this.#state = 'draining'
    this.#rejections.startClosing()
    const isIdle = new Promise<void>((resolve) => (this.#sayIdle = resolve))
    this.#schedule()
    if (drainMs > 0) await waitAtMost(drainMs, isIdle)
    this.#state = 'closed'
    this.#dispatcher.stop()
    this.#schedule()
    await this.#slots.close()
  }
}
