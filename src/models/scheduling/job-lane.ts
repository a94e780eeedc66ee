import type { Job } from './job.ts'

/**
 * The waiting jobs of one priority level, oldest first. The links of the list are fields of the
 * jobs.
 */
export class JobLane {
  oldest: Job | undefined
  #newest: Job | undefined

  /** Inserts a job before `next`, or last. */
  insert(job: Job, next: Job | undefined): void {
    const before = next === undefined ? this.#newest : next.before
    job.before = before
    job.after = next
    if (before === undefined) this.oldest = job
    else before.after = job
    if (next === undefined) this.#newest = job
    else next.before = job
  }

  remove(job: Job): void {
    const { before, after } = job
    if (before === undefined) this.oldest = after
    else before.after = after
    if (after === undefined) this.#newest = before
    else after.before = before
    job.before = undefined
    job.after = undefined
  }
}
