import type { Job } from './job.ts'

/**
 * The deadlines of waiting jobs, independent of their priority. Jobs without their own deadline all
 * have the same maximum wait, so each new one expires last. Jobs with a deadline are kept in order
 * in a second list. A new one is inserted from its end, where it mostly belongs, because clients
 * tend to send the same timeout with every request.
 */
export class Expiries {
  readonly #maxWaitMs: number
  readonly #patient = new ExpiryList()
  readonly #hurried = new ExpiryList()

  /** @param maxWaitMs Maximum wait of any job in milliseconds. */
  constructor(maxWaitMs: number) {
    this.#maxWaitMs = maxWaitMs
  }

  /** The job that expires first. */
  get soonest(): Job | undefined {
    const patient = this.#patient.soonest
    const hurried = this.#hurried.soonest
    if (hurried === undefined) return patient
    if (patient === undefined) return hurried
    return this.timeOf(hurried) < this.timeOf(patient) ? hurried : patient
  }

  /** Returns when a job expires, on the clock of `performance.now()`. */
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

/** Jobs in the order of their expiry. The links of the list are fields of the jobs. */
class ExpiryList {
  soonest: Job | undefined
  latest: Job | undefined

  /** Inserts a job after `sooner`, or first. */
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
