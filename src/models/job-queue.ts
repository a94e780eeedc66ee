import type { Job } from './job.ts'

/** What a queue holds at most. */
export interface QueueLimits {
  readonly maxJobs: number
  readonly maxBytes: number
}

/**
 * The jobs of one model version that wait for a worker, first in, first out. Jobs that were settled
 * while they waited (the client left) are skipped when their turn comes; they stop counting at once.
 */
export class JobQueue {
  readonly #limits: QueueLimits
  #jobs: Job[] = []
  #head = 0
  #length = 0
  #bytes = 0

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  /** Jobs that wait. */
  get length(): number {
    return this.#length
  }

  get remainingCapacity(): number {
    return Math.max(0, this.#limits.maxJobs - this.#length)
  }

  /** Appends a job, or says false when the queue is full, by jobs or by bytes. */
  offer(job: Job): boolean {
    if (this.#length >= this.#limits.maxJobs) return false
    if (this.#length > 0 && this.#bytes + job.bytes > this.#limits.maxBytes) return false
    this.#jobs.push(job)
    this.#enter(job)
    return true
  }

  /** Puts jobs back where they came from, in their order. They were accepted once: no limit applies. */
  putBack(jobs: readonly Job[]): void {
    this.#jobs = [...jobs, ...this.#jobs.slice(this.#head)]
    this.#head = 0
    for (const job of jobs) this.#enter(job)
  }

  /** The job that has waited longest. */
  peek(): Job | undefined {
    this.#skipSettled()
    return this.#jobs[this.#head]
  }

  /** Takes up to `count` jobs. A job whose worker died goes alone, so that it cannot take others with it. */
  take(count: number): Job[] {
    const taken: Job[] = []
    for (let job = this.peek(); job !== undefined && taken.length < count; job = this.peek()) {
      if (job.deaths > 0 && taken.length > 0) break
      this.#head += 1
      this.#leave(job)
      taken.push(job)
      if (job.deaths > 0) break
    }
    return taken
  }

  /** A job was settled by somebody else; if it waits here it stops counting, and its turn is skipped. */
  forget(job: Job): void {
    if (job.isQueued) this.#leave(job)
  }

  #skipSettled(): void {
    while (this.#jobs[this.#head]?.isSettled === true) this.#head += 1
    // The part that was read goes in one piece now and then, not by a shift for each job.
    if (this.#head === this.#jobs.length) this.#jobs.length = 0
    else if (this.#head >= 1024) this.#jobs = this.#jobs.slice(this.#head)
    else return
    this.#head = 0
  }

  #enter(job: Job): void {
    job.isQueued = true
    this.#length += 1
    this.#bytes += job.bytes
  }

  #leave(job: Job): void {
    job.isQueued = false
    this.#length -= 1
    this.#bytes -= job.bytes
  }
}
