import { RequestTiming } from '../request-timing.ts'
import type { Job } from './job.ts'
import { ListNode } from './linked-list.ts'

/** An accepted job, and what the queue knows of it. */
export class QueuedJob {
  readonly job: Job
  /** Position in the order of acceptance. */
  readonly order: number
  /** Since when it waits, now or last, on the clock of `performance.now()`. */
  waitingSince = 0
  /** Whether it waits in the queue. */
  isWaiting = false
  /** When it was accepted, on the clock of `performance.now()`. */
  readonly acceptedAt = performance.now()
  readonly timing = new RequestTiming()
  /** Whether no worker was ready when it came. */
  isCold = false
  /** Workers that died while they ran it. */
  deaths = 0
  readonly laneNode = new ListNode<QueuedJob>(this)
  readonly deadlineNode = new ListNode<QueuedJob>(this)

  constructor(job: Job, order: number) {
    this.job = job
    this.order = order
  }

  /** Whether it may be the reason why a worker died. */
  get isSuspect(): boolean {
    return this.deaths > 0
  }

  /** Whether a client sent it. */
  get isCounted(): boolean {
    return this.job.isCounted
  }
}
