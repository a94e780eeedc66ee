import { LinkedList } from './linked-list.ts'
import type { QueuedJob } from './queued-job.ts'

/**
 * The deadlines of waiting jobs, independent of their priority. Jobs without their own deadline all
 * have the same maximum wait, so each new one expires last. Jobs with a deadline are kept in order
 * in a second list. A new one is inserted from its end, where it mostly belongs, because clients
 * tend to send the same timeout with every request.
 */
export class DeadlineQueue {
  readonly #maxWaitMs: number
  readonly #withMaxWait = new LinkedList<QueuedJob>()
  readonly #withDeadline = new LinkedList<QueuedJob>()

  /** @param maxWaitMs Maximum wait of any job in milliseconds. */
  constructor(maxWaitMs: number) {
    this.#maxWaitMs = maxWaitMs
  }

  /** The job that expires first. */
  get soonest(): QueuedJob | undefined {
    const first = this.#withMaxWait.first?.value
    const other = this.#withDeadline.first?.value
    if (first === undefined || other === undefined) return first ?? other
    return this.timeOf(other) < this.timeOf(first) ? other : first
  }

  /** Returns when a job expires, on the clock of `performance.now()`. */
  timeOf({ job, waitingSince }: QueuedJob): number {
    const latest = waitingSince + this.#maxWaitMs
    return job.deadline === undefined ? latest : Math.min(job.deadline, latest)
  }

  /** Returns when half of the time from {@link QueuedJob.waitingSince} to the expiry has passed. */
  halfTimeOf(queued: QueuedJob): number {
    return (queued.waitingSince + this.timeOf(queued)) / 2
  }

  add(queued: QueuedJob): void {
    const list = this.#listOf(queued)
    let next = undefined
    if (list === this.#withDeadline) {
      const time = this.timeOf(queued)
      let before = list.last
      while (before !== undefined && this.timeOf(before.value) > time) {
        next = before
        before = before.previous
      }
    }
    list.insertBefore(next, queued.deadlineNode)
  }

  remove(queued: QueuedJob): void {
    this.#listOf(queued).remove(queued.deadlineNode)
  }

  #listOf({ job }: QueuedJob): LinkedList<QueuedJob> {
    return job.deadline === undefined ? this.#withMaxWait : this.#withDeadline
  }
}
