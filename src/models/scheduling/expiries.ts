import type { Job } from './job.ts'

/**
 * When the jobs that wait expire, whatever their turn. Those without a deadline of their own all have the same
 * time, so each new one expires last. The others are kept in order in a second list: a new one is put in from
 * its end, where it mostly belongs, because clients tend to give every request the same time.
 */
export class Expiries {
  readonly #maxWaitMs: number
  readonly #patient = new ExpiryList()
  readonly #hurried = new ExpiryList()

  /** @param maxWaitMs Milliseconds that any job may wait. */
  constructor(maxWaitMs: number) {
    this.#maxWaitMs = maxWaitMs
  }

  /** The job that expires before all others. */
  get soonest(): Job | undefined {
    const patient = this.#patient.soonest
    const hurried = this.#hurried.soonest
    if (hurried === undefined) return patient
    if (patient === undefined) return hurried
    return this.timeOf(hurried) < this.timeOf(patient) ? hurried : patient
  }

  /** When a job expires, on the clock of `performance.now()`. */
  timeOf(job: Job): number {
    const latest = job.waitingSince + this.#maxWaitMs
    return job.deadline === undefined ? latest : Math.min(job.deadline, latest)
  }

  add(job: Job): void {
    if (job.deadline === undefined) return this.#patient.insert(job, this.#patient.latest)
    const time = this.timeOf(job)
    let sooner = this.#hurried.latest
    while (sooner !== undefined && this.timeOf(sooner) > time) sooner = sooner.sooner
    this.#hurried.insert(job, sooner)
  }

  remove(job: Job): void {
    const list = job.deadline === undefined ? this.#patient : this.#hurried
    list.remove(job)
  }
}

/** Jobs in the order in which they expire. They are the links of the list themselves. */
class ExpiryList {
  soonest: Job | undefined
  latest: Job | undefined

  /** Puts a job behind `sooner`, or first. */
  insert(job: Job, sooner: Job | undefined): void {
    const later = sooner === undefined ? this.soonest : sooner.later
    job.sooner = sooner
    job.later = later
    if (sooner === undefined) this.soonest = job
    else sooner.later = job
    if (later === undefined) this.latest = job
    else later.sooner = job
  }

  remove(job: Job): void {
    const { sooner, later } = job
    if (sooner === undefined) this.soonest = later
    else sooner.later = later
    if (later === undefined) this.latest = sooner
    else later.sooner = sooner
    job.sooner = undefined
    job.later = undefined
  }
}
