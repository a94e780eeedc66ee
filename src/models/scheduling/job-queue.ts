import { Expiries } from './expiries.ts'
import { JobLane } from './job-lane.ts'
import type { Job } from './job.ts'

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
 * the order of acceptance. The links of the lists are fields of the jobs. So a job can be removed
 * at once, with its body, when its client disconnects, and the queue keeps no reference to a job
 * that was taken.
 */
export class JobQueue {
  readonly #limits: QueueLimits
  /** One lane for each level, the highest first. */
  readonly #lanes: readonly JobLane[]
  /** Lower bound: no lane before this index has a job. */
  #highest = 0
  readonly #expiries: Expiries
  #length = 0
  #bytes = 0
  #lastTurn = 0

  constructor({ levels, maxWaitMs, ...limits }: QueueOptions) {
    this.#limits = limits
    this.#lanes = Array.from({ length: levels }, () => new JobLane())
    this.#expiries = new Expiries(maxWaitMs)
  }

  /** Number of waiting jobs. */
  get length(): number {
    return this.#length
  }

  /** Total size of the waiting jobs in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  get remainingCapacity(): number {
    return Math.max(0, this.#limits.maxJobs - this.#length)
  }

  /** The earliest time since which the oldest job of a level waits. */
  get waitingSince(): number {
    let earliest = Number.POSITIVE_INFINITY
    for (const { oldest } of this.#lanes)
      if (oldest !== undefined) earliest = Math.min(earliest, oldest.waitingSince)
    return earliest
  }

  /** When the first job expires, on the clock of `performance.now()`. */
  get expiresAt(): number {
    const job = this.#expiries.soonest
    return job === undefined ? Number.POSITIVE_INFINITY : this.#expiries.timeOf(job)
  }

  /** When that job has waited half of its allowed time. */
  get halfExpiredAt(): number {
    const job = this.#expiries.soonest
    return job === undefined
      ? Number.POSITIVE_INFINITY
      : (job.waitingSince + this.#expiries.timeOf(job)) / 2
  }

  /** Appends a job to its level. Returns false if the queue is full, by jobs or by bytes. */
  offer(job: Job): boolean {
    if (this.#length >= this.#limits.maxJobs) return false
    if (this.#length > 0 && this.#bytes + job.bytes > this.#limits.maxBytes) return false
    job.turn = ++this.#lastTurn
    this.#insert(job, undefined)
    return true
  }

  /**
   * Puts the jobs of a batch back in their order. They were accepted before, so no limit applies.
   */
  putBack(jobs: readonly Job[]): void {
    let lane: JobLane | undefined
    let next: Job | undefined
    for (const job of jobs) {
      // A batch is in order within each level.
      if (lane !== this.#laneOf(job)) {
        lane = this.#laneOf(job)
        next = lane.oldest
      }
      while (next !== undefined && next.turn < job.turn) next = next.after
      this.#insert(job, next)
    }
  }

  /** Returns the next job: the oldest of the highest level that has one. */
  peek(): Job | undefined {
    for (; this.#highest < this.#lanes.length; this.#highest += 1) {
      const oldest = this.#lanes[this.#highest]?.oldest
      if (oldest !== undefined) return oldest
    }
    return undefined
  }

  /**
   * Takes up to `count` jobs. A job whose worker died goes alone, so that it cannot kill a worker
   * that runs other jobs.
   */
  take(count: number): Job[] {
    const taken: Job[] = []
    for (let job = this.peek(); job !== undefined && taken.length < count; job = this.peek()) {
      if (job.deaths > 0 && taken.length > 0) break
      this.#remove(job)
      taken.push(job)
      if (job.deaths > 0) break
    }
    return taken
  }

  /** Takes an expired job, at any position. */
  takeExpired(now: number): Job | undefined {
    const job = this.#expiries.soonest
    if (job === undefined || this.#expiries.timeOf(job) > now) return undefined
    this.#remove(job)
    return job
  }

  /** Removes a job that is settled; does nothing if the job does not wait here. */
  forget(job: Job): void {
    if (job.isQueued) this.#remove(job)
  }

  #laneOf({ level }: Job): JobLane {
    const lane = this.#lanes[level - 1]
    if (lane === undefined) throw new RangeError(`There is no priority level ${level}.`)
    return lane
  }

  #insert(job: Job, next: Job | undefined): void {
    job.isQueued = true
    job.waitingSince = performance.now()
    this.#laneOf(job).insert(job, next)
    this.#highest = Math.min(this.#highest, job.level - 1)
    this.#expiries.add(job)
    this.#length += 1
    this.#bytes += job.bytes
  }

  #remove(job: Job): void {
    this.#laneOf(job).remove(job)
    this.#expiries.remove(job)
    job.isQueued = false
    this.#length -= 1
    this.#bytes -= job.bytes
  }
}
