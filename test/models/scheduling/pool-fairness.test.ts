/** No version waits for another, and no worker idles while work waits. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ServerError } from '../../../src/errors.ts'
import type { Job } from '../../../src/models/scheduling/queue/job.ts'
import type { QueuedJob } from '../../../src/models/scheduling/queue/queued-job.ts'
import { randomNumbers } from '../../helpers/random.ts'
import type { RandomNumbers } from '../../helpers/random.ts'
import { FakeWorker, TestClock, TestPool, nameOf, outcome } from '../../helpers/test-pool.ts'

test('a flood of requests for one version delays none of another', async (t) => {
  const clock = new TestClock(t)
  const queue = { maxJobs: 1000, maxBytes: 1e6 }
  const flooded = await TestPool.of(t, 2, { queue }, clock)
  const other = await TestPool.of(t, 1, { queue }, clock)
  const flood = Array.from({ length: 1000 }, (_, index) => flooded.submit(`flood ${index}`))
  const lonely = other.submit('lonely')
  assert.deepEqual(other.worker(0).seen, [['lonely']], 'it is at its worker at once')
  assert.deepEqual(
    [flooded.pool.queued, flooded.workers.map(({ seen }) => seen.length)],
    [998, [1, 1]],
    'each event hands out what the workers have room for, and no more',
  )
  for (let round = 0; round < 100; round += 1) {
    for (const worker of flooded.workers) worker.answer()
    other.worker(0).answer()
    await turn()
    assert.equal(other.pool.queued, 0)
    other.submit(`next ${round}`)
    assert.deepEqual(other.worker(0).batches.at(-1)?.names, [`next ${round}`])
  }
  assert.equal(await outcome(lonely), 'lonely')
  assert.equal(flood.filter(({ isSettled }) => isSettled).length, 200)
})

/** Random events at one pool; after each of them the pool must have done all that it can. */
class Chaos {
  readonly #it: TestPool
  readonly #random: RandomNumbers
  readonly #levels: number
  readonly #batchSize: number
  readonly #mayWait: boolean
  readonly #jobs: Job[] = []
  readonly #settled = new Map<Job, number>()
  readonly #scalings: Promise<unknown>[] = []
  /** Jobs that waited while one behind them was taken. */
  readonly #passedOver: string[] = []

  private constructor(
    it: TestPool,
    random: RandomNumbers,
    options: { levels: number; batchSize: number; mayWait: boolean },
  ) {
    this.#it = it
    this.#random = random
    this.#levels = options.levels
    this.#batchSize = options.batchSize
    this.#mayWait = options.mayWait
  }

  static start(t: TestContext, seed: number): Chaos {
    const random = randomNumbers(seed)
    const levels = 1 + (seed % 3)
    const batchSize = 1 + (seed % 4)
    const delays = [0, 3, 'auto'] as const
    const maxBatchDelayMs = delays[seed % 3] ?? 0
    const it = new TestPool(t, {
      priorityLevels: levels,
      batchSize,
      maxBatchDelayMs,
      queueTimeoutMs: 40,
      isRetryable: seed % 2 === 0,
      queue: { maxJobs: 30, maxBytes: 1e6 },
    })
    const chaos = new Chaos(it, random, { levels, batchSize, mayWait: maxBatchDelayMs !== 0 })
    it.onStart = (worker) => {
      const depth = random.integer(1, 3)
      worker.keepInFlight(depth, random.integer(1, depth))
      const predict = worker.predict.bind(worker)
      worker.predict = (requests) => {
        chaos.#checkOrder(requests.map(nameOf))
        return predict(requests)
      }
      if (random.next() < 0.5) worker.load()
    }
    chaos.#scalings.push(it.pool.scale(2).catch(() => {}))
    return chaos
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step += 1) {
      await this.#event(step)
      await turn()
      this.#check()
    }
  }

  /** Ends the pool and says how many jobs there were. */
  async end(): Promise<number> {
    const closed = this.#it.pool.close(20)
    for (let step = 0; step < 15; step += 1) {
      for (const worker of this.#it.workers) if (worker.batches.length > 0) worker.answer()
      await this.#it.pass(2)
    }
    await closed
    await Promise.all(this.#scalings)
    await turn()
    for (const job of this.#jobs)
      assert.equal(this.#settled.get(job), 1, `${nameOf(job.request)} is settled once`)
    return this.#jobs.length
  }

  async #event(step: number): Promise<void> {
    const dice = this.#random.integer(0, 99)
    const { workers, pool } = this.#it
    const one = (list: readonly FakeWorker[]): FakeWorker | undefined =>
      list[this.#random.integer(0, list.length - 1)]
    if (dice < 45) this.#submit(step)
    else if (dice < 75) one(workers.filter(({ batches }) => batches.length > 0))?.answer()
    else if (dice < 79) one(workers.filter(({ state }) => state === 'ready'))?.die()
    else if (dice < 85) one(workers.filter(({ state }) => state === 'loading'))?.load()
    else if (dice < 90) {
      const job = this.#jobs.at(-this.#random.integer(1, 10))
      if (job !== undefined) this.#it.cancel(job)
    } else if (dice < 92) {
      this.#scalings.push(pool.scale(this.#random.integer(1, 3)).catch(() => {}))
    } else await this.#it.pass(this.#random.integer(1, 3))
  }

  #submit(step: number): void {
    const isHurried = this.#random.next() < 0.2
    try {
      const job = this.#it.submit(`job ${step}`, {
        level: this.#random.integer(1, this.#levels),
        ...(isHurried && { timeoutMs: this.#random.integer(1, 30) }),
      })
      const settle = (): void => {
        this.#settled.set(job, (this.#settled.get(job) ?? 0) + 1)
      }
      job.result.then(settle, settle)
      this.#jobs.push(job)
    } catch (error) {
      assert.equal(error instanceof ServerError && error.statusCode, 503)
    }
  }

  /** Called when a batch is taken: each of its jobs has its turn before all that wait. */
  #checkOrder(names: readonly string[]): void {
    const taken = this.#queued.filter(({ job }) => names.includes(nameOf(job.request)))
    if (taken.some(({ isSuspect }) => isSuspect)) assert.equal(names.length, 1)
    // Suspects wait apart from the others, in their own order.
    const waiting = this.#waiting
    for (const queued of taken)
      for (const other of waiting)
        if (other.isSuspect === queued.isSuspect && isBefore(other, queued))
          this.#passedOver.push(nameOf(other.job.request))
  }

  get #queued(): QueuedJob[] {
    return this.#jobs.map((job) => this.#it.queued(job))
  }

  get #waiting(): QueuedJob[] {
    return this.#queued.filter(({ isWaiting }) => isWaiting)
  }

  #check(): void {
    const { pool, clock } = this.#it
    const waiting = this.#waiting
    assert.equal(pool.queued, waiting.length)
    for (const { job } of waiting)
      assert.equal(job.isSettled, false, 'what is settled does not wait')
    for (const { job, waitingSince } of waiting)
      assert.ok(
        Math.min(job.deadline ?? Infinity, waitingSince + 40) > clock.now,
        'nothing is overdue',
      )
    const batchable = waiting.filter(({ isSuspect }) => !isSuspect)
    const isFull = batchable.length >= this.#batchSize
    const hasRoom = pool.slots.some(
      ({ worker }) => worker instanceof FakeWorker && worker.hasRoom(isFull),
    )
    const mayFill = this.#mayWait && !isFull
    assert.ok(!hasRoom || batchable.length === 0 || mayFill, `${batchable.length} wait for nothing`)
    assert.deepEqual(this.#passedOver, [])
  }
}

/** Whether a job's turn comes before that of another: by level, then by arrival. */
function isBefore(one: QueuedJob, other: QueuedJob): boolean {
  const isSameLane = one.isSuspect || one.job.level === other.job.level
  return isSameLane ? one.order < other.order : one.job.level < other.job.level
}

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) {
  test(`no worker with room idles while work waits, turns are kept, each job is settled once (seed ${seed})`, async (t) => {
    const chaos = Chaos.start(t, seed)
    await chaos.run(1500)
    const jobs = await chaos.end()
    assert.ok(jobs > 200, `${jobs} jobs`)
  })
}
