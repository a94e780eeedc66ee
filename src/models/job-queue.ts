import type { Job } from './job.ts'

/** What a queue holds at most. */
export interface QueueLimits {
  readonly maxJobs: number
  readonly maxBytes: number
}

/**
 * The jobs of one model version that wait for a worker, in the order in which they were accepted. The
 * jobs themselves are the links of a list: one whose client left goes at once, with its body, wherever
 * it stands, and nothing taken stays reachable from here.
 */
export class JobQueue {
  readonly #limits: QueueLimits
  #oldest: Job | undefined
  #newest: Job | undefined
  #length = 0
  #bytes = 0
  #lastTurn = 0

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  /** Jobs that wait. */
  get length(): number {
    return this.#length
  }

  /** Sizes of the jobs that wait, together. */
  get bytes(): number {
    return this.#bytes
  }

  get remainingCapacity(): number {
    return Math.max(0, this.#limits.maxJobs - this.#length)
  }

  /** Appends a job, or says false when the queue is full, by jobs or by bytes. */
  offer(job: Job): boolean {
    if (this.#length >= this.#limits.maxJobs) return false
    if (this.#length > 0 && this.#bytes + job.bytes > this.#limits.maxBytes) return false
    job.turn = ++this.#lastTurn
    this.#insert(job, undefined)
    return true
  }

  /** Puts the jobs of a batch back to their turn. They were accepted once: no limit applies. */
  putBack(jobs: readonly Job[]): void {
    let next = this.#oldest
    for (const job of jobs) {
      while (next !== undefined && next.turn < job.turn) next = next.after
      this.#insert(job, next)
    }
  }

  /** The job whose turn it is. */
  peek(): Job | undefined {
    return this.#oldest
  }

  /** Takes up to `count` jobs. A job whose worker died goes alone, so that it cannot take others with it. */
  take(count: number): Job[] {
    const taken: Job[] = []
    for (let job = this.#oldest; job !== undefined && taken.length < count; job = this.#oldest) {
      if (job.deaths > 0 && taken.length > 0) break
      this.#remove(job)
      taken.push(job)
      if (job.deaths > 0) break
    }
    return taken
  }

  /** Drops a job that is settled; nothing happens when it does not wait here. */
  forget(job: Job): void {
    if (job.isQueued) this.#remove(job)
  }

  #insert(job: Job, after: Job | undefined): void {
    const before = after === undefined ? this.#newest : after.before
    job.before = before
    job.after = after
    if (before === undefined) this.#oldest = job
    else before.after = job
    if (after === undefined) this.#newest = job
    else after.before = job
    job.isQueued = true
    job.waitingSince = performance.now()
    this.#length += 1
    this.#bytes += job.bytes
  }

  #remove(job: Job): void {
    const { before, after } = job
    if (before === undefined) this.#oldest = after
    else before.after = after
    if (after === undefined) this.#newest = before
    else after.before = before
    job.before = undefined
    job.after = undefined
    job.isQueued = false
    this.#length -= 1
    this.#bytes -= job.bytes
  }
}
