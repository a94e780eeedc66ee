/**
 * Gives the waiting jobs of one model version to its workers. `dispatch-policy.ts` decides which
 * worker gets the next batch, and when.
 */
import { timesInMessage } from '../../contract/compute-times.ts'
import type { FirstPart } from '../../worker/host/batch-streams.ts'
import type { WorkerReply } from '../../worker/wire/messages.ts'
import type { VersionMetrics } from '../metrics/version-metrics.ts'
import { LearnedDelay } from './batch-delay.ts'
import type { CrashList } from './crash-list.ts'
import { decide } from './dispatch-policy.ts'
import type { BatchFacts } from './dispatch-policy.ts'
import type { DrainRate } from './drain-rate.ts'
import type { PoolOptions } from './pool-options.ts'
import type { JobQueue } from './queue/job-queue.ts'
import type { QueuedJob } from './queue/queued-job.ts'
import { beginResponse, recoverBatch, settleBatch } from './settle-batch.ts'
import type { SlotSet } from './slots/slot-set.ts'
import type { Slot } from './slots/slot.ts'
import { WakeUpTimer } from './wake-up-timer.ts'

/** What a dispatcher shares with its pool. */
interface DispatchContext {
  readonly options: PoolOptions
  readonly queue: JobQueue
  readonly slots: SlotSet
  readonly metrics: VersionMetrics
  readonly drainRate: DrainRate
  readonly crashes: CrashList
  /** A batch came back, or the time for a decision has come. */
  readonly onChange: () => void
}

/** A job that runs alone: no other job can join it. */
const ALONE: BatchFacts = {
  isComplete: true,
  waitsUntil: 0,
  waitsBesideIdleWorker: true,
  latestAt: 0,
}

/** Takes jobs from the queue, sends them to workers, and settles them or puts them back. */
export class Dispatcher {
  readonly #options: PoolOptions
  readonly #queue: JobQueue
  readonly #slots: SlotSet
  readonly #metrics: VersionMetrics
  readonly #drainRate: DrainRate
  readonly #crashes: CrashList
  readonly #onChange: () => void
  /** Absent if the delay is fixed or batching is disabled. */
  readonly #learned: LearnedDelay | undefined
  /**
   * A new job rarely needs to set it while all workers are busy: an earlier time is mostly set
   * already.
   */
  readonly #wakeUp: WakeUpTimer
  #running = 0
  #runningRequests = 0
  /** Suspects at workers. */
  #runningSuspects = 0

  constructor({ options, queue, slots, metrics, drainRate, crashes, onChange }: DispatchContext) {
    this.#options = options
    this.#queue = queue
    this.#slots = slots
    this.#metrics = metrics
    this.#drainRate = drainRate
    this.#crashes = crashes
    this.#onChange = onChange
    this.#wakeUp = new WakeUpTimer(onChange)
    const isLearned = options.maxBatchDelayMs === 'auto' && options.batchSize > 1
    this.#learned = isLearned ? new LearnedDelay() : undefined
  }

  /** Batches at workers. */
  get running(): number {
    return this.#running
  }

  /** Requests of these batches. */
  get runningRequests(): number {
    return this.#runningRequests
  }

  recordArrival({ waitingSince }: QueuedJob): void {
    this.#learned?.recordArrival(waitingSince)
  }

  /**
   * Sends batches until all workers have enough or a batch must fill. Afterwards `onChange` is
   * called when there may be more to do.
   * @param canFill Whether more jobs may come.
   */
  handOut(now: number, canFill: boolean): void {
    const suspectsAt = this.#handOutSuspects(now)
    while (this.#queue.batchable > 0) {
      const decision = decide(this.#slots.all, this.#nextBatch(canFill), now)
      if (decision.place === undefined)
        return this.#wakeUp.set(Math.min(decision.decideAt, suspectsAt, this.#queue.expiresAt))
      this.#run(decision.place, this.#queue.take(this.#options.batchSize))
    }
    if (this.#queue.length > 0) this.#wakeUp.set(Math.min(suspectsAt, this.#queue.expiresAt))
  }

  /** Cancels the time for the next decision. */
  stop(): void {
    this.#wakeUp.stop()
  }

  /**
   * Sends jobs whose worker died, each alone. One ready worker is left for the other jobs, because
   * a suspect can end its worker. A suspect waits for that only for a limited time.
   * @returns When to try again, unless a worker becomes ready or returns a batch before.
   */
  #handOutSuspects(now: number): number {
    for (;;) {
      const waitsUntil = this.#queue.suspectWaitsUntil
      if (waitsUntil === undefined) return Number.POSITIVE_INFINITY
      const isOnlyWorker = this.#slots.all.length === 1
      const allowed = isOnlyWorker ? 1 : this.#slots.readyWorkers - 1
      if (this.#runningSuspects >= allowed && waitsUntil > now) return waitsUntil
      const { place } = decide(this.#slots.all, ALONE, now)
      if (place === undefined) return Number.POSITIVE_INFINITY
      this.#run(place, this.#queue.takeSuspect())
    }
  }

  /** Returns the facts about the next batch of jobs that can share one. */
  #nextBatch(canFill: boolean): BatchFacts {
    const { maxBatchDelayMs } = this.#options
    const isComplete = this.#hasFullBatch || !canFill || this.#queue.isNextAlone
    const isLearned = maxBatchDelayMs === 'auto'
    return {
      isComplete,
      waitsUntil: isLearned
        ? (this.#learned?.until(this.#queue.batchable) ?? 0)
        : this.#queue.waitingSince + maxBatchDelayMs,
      waitsBesideIdleWorker: !isLearned,
      latestAt: this.#queue.halfExpiredAt,
    }
  }

  #run(slot: Slot, jobs: readonly QueuedJob[]): void {
    const { worker } = slot
    const suspects = jobs.filter(({ isSuspect }) => isSuspect).length
    this.#running += 1
    this.#runningRequests += jobs.length
    this.#runningSuspects += suspects
    const takenAt = this.#metrics.countTaken(jobs)
    const batch = { size: jobs.length, limit: this.#options.batchSize, worker: slot.id }
    for (const { timing, waitingSince } of jobs) timing.recordTaken(takenAt, waitingSince, batch)
    const finish = (reply?: WorkerReply): void => {
      this.#running -= 1
      this.#runningRequests -= jobs.length
      this.#runningSuspects -= suspects
      const now = performance.now()
      const compute = reply && timesInMessage(reply.message, now - takenAt)
      for (const { timing } of jobs) timing.recordReturned(now, now - takenAt, compute)
      for (const { isCold, acceptedAt, job } of jobs)
        if (isCold && job.isSettled) this.#metrics.coldSeconds.observe((now - acceptedAt) / 1000)
      this.#metrics.countReturned(jobs, now - takenAt, compute)
      this.#drainRate.record(jobs.length, now, this.#queue.length)
      // A batch behind another one started when that one came back.
      if (reply !== undefined && this.#learned !== undefined)
        this.#learned.recordReturn(now, jobs.length, now - Math.max(takenAt, slot.returnedAt))
      slot.recordReturn(now)
      if (worker.inFlight === 0 && this.#hasFullBatch) worker.progress.recordIdleWhileWaited()
      this.#onChange()
    }
    const onFirst = (part: FirstPart): void => {
      const queued = jobs[part.index]
      if (queued !== undefined) beginResponse(queued, part, this.#metrics, takenAt)
    }
    worker
      .predict(
        jobs.map(({ job }) => job.request),
        onFirst,
      )
      .then(
        (reply) => {
          settleBatch(jobs, reply, this.#crashes)
          slot.recordSuccess(reply.code)
          finish(reply)
        },
        (error: unknown) => {
          // A closed pool rejects the jobs that come back.
          const again = recoverBatch(jobs, error, this.#options, this.#crashes)
          this.#queue.putBack(again)
          finish()
        },
      )
  }

  get #hasFullBatch(): boolean {
    return this.#queue.batchable >= this.#options.batchSize
  }
}
