import { DeadlineQueue } from './deadline-queue.ts'
import type { Job } from './job.ts'
import { LinkedList } from './linked-list.ts'
import type { ListNode } from './linked-list.ts'
import { QueuedJob } from './queued-job.ts'

/** Maximum wait of a suspect for a second ready worker. */
const MAX_SUSPECT_WAIT_MS = 5000

/** Limits of a queue. */
export interface QueueLimits {
  readonly maxJobs: number
  readonly maxBytes: number
}

/** Options of a queue. */
export interface QueueOptions extends QueueLimits {
  /** Number of priority levels, at least 1. */
  readonly levels: number
  /** Maximum wait of any job in milliseconds. */
  readonly maxWaitMs: number
}

/**
 * The jobs of one model version that wait for a worker: by priority level, and within a level in
 * the order of acceptance. Jobs whose worker died wait apart from the others. A job can be removed
 * at once, with its body, when its client disconnects, and the queue keeps no reference to a job
 * that was taken.
 */
export class JobQueue {
  readonly #limits: QueueLimits
  /** One lane for each level, the highest first. */
  readonly #lanes: readonly LinkedList<QueuedJob>[]
  readonly #suspects = new LinkedList<QueuedJob>()
  /** Lower bound: no lane before this index has a job. */
  #highest = 0
  readonly #deadlines: DeadlineQueue
  #length = 0
  #suspectCount = 0
  #bytes = 0
  #lastOrder = 0

  constructor({ levels, maxWaitMs, ...limits }: QueueOptions) {
    this.#limits = limits
    this.#lanes = Array.from({ length: levels }, () => new LinkedList<QueuedJob>())
    this.#deadlines = new DeadlineQueue(maxWaitMs)
  }

  /** Number of waiting jobs, suspects included. */
  get length(): number {
    return this.#length
  }

  /** Number of waiting jobs that can share a batch. */
  get batchable(): number {
    return this.#length - this.#suspectCount
  }

  /** Total size of the waiting jobs in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether the next job is a batch of its own. */
  get isNextAlone(): boolean {
    for (let level = this.#highest; level < this.#lanes.length; level += 1) {
      const first = this.#lanes[level]?.first
      if (first !== undefined) return first.value.job.isAlone
    }
    return false
  }

  get remainingCapacity(): number {
    return Math.max(0, this.#limits.maxJobs - this.#length)
  }

  /** The earliest time since which the oldest job of a level waits. */
  get waitingSince(): number {
    let earliest = Number.POSITIVE_INFINITY
    for (const { first } of this.#lanes)
      if (first !== undefined) earliest = Math.min(earliest, first.value.waitingSince)
    return earliest
  }

  /** When the first job expires, on the clock of `performance.now()`. */
  get expiresAt(): number {
    const queued = this.#deadlines.soonest
    return queued === undefined ? Number.POSITIVE_INFINITY : this.#deadlines.timeOf(queued)
  }

  /** When that job has waited half of its allowed time. */
  get halfExpiredAt(): number {
    const queued = this.#deadlines.soonest
    return queued === undefined ? Number.POSITIVE_INFINITY : this.#deadlines.halfTimeOf(queued)
  }

  /**
   * Until when the oldest suspect waits for a second ready worker: for half of its allowed time, at
   * most 5 s. `undefined` without suspects.
   */
  get suspectWaitsUntil(): number | undefined {
    const queued = this.#suspects.first?.value
    if (queued === undefined) return undefined
    return Math.min(this.#deadlines.halfTimeOf(queued), queued.waitingSince + MAX_SUSPECT_WAIT_MS)
  }

  /** Appends a job to its level. Returns `undefined` if the queue is full, by jobs or by bytes. */
  offer(job: Job): QueuedJob | undefined {
    if (this.#length >= this.#limits.maxJobs) return undefined
    if (this.#length > 0 && this.#bytes + job.bytes > this.#limits.maxBytes) return undefined
    const queued = new QueuedJob(job, ++this.#lastOrder)
    this.#insert(queued, undefined)
    return queued
  }

  /**
   * Puts the jobs of a batch back in their order. They were accepted before, so no limit applies.
   */
  putBack(batch: readonly QueuedJob[]): void {
    let lane: LinkedList<QueuedJob> | undefined
    let next: ListNode<QueuedJob> | undefined
    for (const queued of batch) {
      // A batch is in order within each level, but not among levels, which all suspects share.
      if (lane !== this.#laneOf(queued) || queued.isSuspect) {
        lane = this.#laneOf(queued)
        next = lane.first
      }
      while (next !== undefined && next.value.order < queued.order) next = next.next
      this.#insert(queued, next)
    }
  }

  /**
   * Takes up to `count` jobs that can share a batch: of the highest levels, oldest first. A job
   * that must not share one is taken alone.
   */
  take(count: number): QueuedJob[] {
    const taken: QueuedJob[] = []
    while (taken.length < count) {
      const first = this.#lanes[this.#highest]?.first
      if (first !== undefined) {
        const { isAlone } = first.value.job
        if (isAlone && taken.length > 0) break
        taken.push(this.#remove(first.value))
        if (isAlone) break
      } else if (this.#highest < this.#lanes.length) this.#highest += 1
      else break
    }
    return taken
  }

  /**
   * Takes the oldest job whose worker died, if there is one. It is a batch of its own, so that it
   * cannot end other jobs.
   */
  takeSuspect(): QueuedJob[] {
    const queued = this.#suspects.first?.value
    return queued === undefined ? [] : [this.#remove(queued)]
  }

  /** Takes an expired job, at any position. */
  takeExpired(now: number): QueuedJob | undefined {
    const queued = this.#deadlines.soonest
    if (queued === undefined || this.#deadlines.timeOf(queued) > now) return undefined
    return this.#remove(queued)
  }

  /** Removes a job that is settled; does nothing if the job does not wait here. */
  forget(queued: QueuedJob): void {
    if (queued.isWaiting) this.#remove(queued)
  }

  #laneOf({ job, isSuspect }: QueuedJob): LinkedList<QueuedJob> {
    const lane = isSuspect ? this.#suspects : this.#lanes[job.level - 1]
    if (lane === undefined) throw new RangeError(`There is no priority level ${job.level}.`)
    return lane
  }

  #insert(queued: QueuedJob, next: ListNode<QueuedJob> | undefined): void {
    queued.isWaiting = true
    queued.waitingSince = performance.now()
    this.#laneOf(queued).insertBefore(next, queued.laneNode)
    if (queued.isSuspect) this.#suspectCount += 1
    else this.#highest = Math.min(this.#highest, queued.job.level - 1)
    this.#deadlines.add(queued)
    this.#length += 1
    this.#bytes += queued.job.bytes
  }

  #remove(queued: QueuedJob): QueuedJob {
    this.#laneOf(queued).remove(queued.laneNode)
    this.#deadlines.remove(queued)
    queued.isWaiting = false
    if (queued.isSuspect) this.#suspectCount -= 1
    this.#length -= 1
    this.#bytes -= queued.job.bytes
    return queued
  }
}
