/** A pool for tests: the workers do only what the test says, and only the test moves the clock. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import { ServerError } from '../../src/errors.ts'
import type { PoolOptions } from '../../src/models/scheduling/pool-options.ts'
import { Pool } from '../../src/models/scheduling/pool.ts'
import type { PoolWorker } from '../../src/models/scheduling/pool.ts'
import { Job } from '../../src/models/scheduling/queue/job.ts'
import type { QueuedJob } from '../../src/models/scheduling/queue/queued-job.ts'
import type { ExitCause } from '../../src/worker/host/child-process/child.ts'
import { WorkerDiedError } from '../../src/worker/host/outcomes.ts'
import type { WireRequest, WorkerReply } from '../../src/worker/wire/messages.ts'

type Exit = Awaited<PoolWorker['exited']>

export interface Batch {
  readonly names: string[]
  readonly requests: readonly WireRequest[]
  readonly resolve: (reply: WorkerReply) => void
  readonly reject: (error: Error) => void
}

export class FakeWorker implements PoolWorker {
  state: PoolWorker['state'] = 'loading'
  servedRequests = 0
  /** The values that the dispatch policy reads, see {@link keepInFlight}. */
  readonly progress = {
    inFlight: 0,
    maxInFlight: 8,
    meanRunMs: undefined as number | undefined,
    hasBodyFile: false,
    idleWhileWaited: 0,
    recordIdleWhileWaited: (): void => void (this.timesIdle += 1),
  }
  readonly pid = 1
  readonly startedAt = new Date()
  readonly startedAtMs = performance.now()
  readonly lastErrors: string[] = []
  readonly hasSharedWeights = undefined
  /** Batches without a reply, oldest first, and the names in all batches so far. */
  readonly batches: Batch[] = []
  readonly seen: string[][] = []
  readonly kills: string[] = []
  /** Number of times that the pool recorded the worker as idle while requests waited. */
  timesIdle = 0
  #depths = { complete: 1, partial: 1 }
  sayReady: () => void = () => {}
  sayFailed: (error: Error) => void = () => {}
  sayExited: (cause: Exit) => void = () => {}
  readonly ready = new Promise<void>((resolve, reject) => {
    this.sayReady = resolve
    this.sayFailed = reject
  })
  readonly exited = new Promise<Exit>((resolve) => (this.sayExited = resolve))

  get isReady(): boolean {
    return this.state === 'ready'
  }

  get inFlight(): number {
    return this.progress.inFlight
  }

  /**
   * Sets run times with which the policy gives the worker up to `complete` batches, but only
   * `partial` if more requests could still join the last one.
   */
  keepInFlight(complete: number, partial = 1): void {
    this.#depths = { complete, partial }
    this.progress.meanRunMs = partial > 1 ? 0.99 / (partial - 1) : 10
    this.progress.hasBodyFile = complete > partial
    this.progress.idleWhileWaited = Math.max(0, complete - 2)
  }

  /**
   * Sets run times shorter than the time to wake another worker. The worker gets up to `count`
   * batches.
   */
  runQuickly(count: number): void {
    this.#depths = { complete: count, partial: count }
    this.progress.meanRunMs = 0.02
    this.progress.maxInFlight = count
  }

  /** Whether it should get one more batch. */
  hasRoom(isComplete: boolean): boolean {
    const depth = isComplete ? this.#depths.complete : this.#depths.partial
    return this.isReady && this.inFlight < depth
  }

  load(): void {
    this.state = 'ready'
    this.sayReady()
  }

  predict(requests: readonly WireRequest[]): Promise<WorkerReply> {
    this.progress.inFlight += 1
    const names = requests.map(nameOf)
    this.seen.push(names)
    return new Promise((resolve, reject) => this.batches.push({ names, requests, resolve, reject }))
  }

  /** Replies to the first batch. Each response contains the name of its request. */
  answer(reply: Partial<WorkerReply> = {}): void {
    const batch = this.batches.shift()
    assert.ok(batch, 'nothing to answer')
    this.progress.inFlight -= 1
    this.servedRequests += 1
    const predictions = batch.requests.map((request) => ({
      id: request.id,
      contentType: '',
      status: 200,
      reason: '',
      headers: [],
      body: Buffer.from(nameOf(request)),
    }))
    batch.resolve({ code: 200, message: 'Prediction success', predictions, ...reply })
  }

  /** Exits as a real worker does: the first batch had started, the others had not. */
  die(text = 'was killed by SIGKILL', error?: Error, cause: Partial<ExitCause> = {}): void {
    if (this.state === 'stopped') return
    this.state = 'stopped'
    this.sayFailed(new ServerError('InternalServerException', `Failed to start workers: ${text}`))
    this.sayExited({ code: null, signal: 'SIGKILL', text, ...cause })
    this.batches.splice(0).forEach((batch, index) => {
      batch.reject(index === 0 && error ? error : new WorkerDiedError(text, index === 0))
    })
  }

  /** Fails as a worker that could not start because of missing system resources. */
  failToStart(): void {
    this.die('could not be started (EMFILE)', undefined, { isShortage: true })
  }

  /** Ends as a worker whose mapped weights were changed on the disk. */
  loseWeights(): void {
    const text = 'had mapped weights that were changed on the disk'
    this.die(text, new WorkerDiedError(text, false), { hasChangedWeights: true })
  }

  kill(because: string): void {
    this.kills.push(because)
    this.die(because)
  }

  async stop(): Promise<void> {
    this.die('exited with code 0')
  }
}

/** A clock that only the test moves. */
export class TestClock {
  readonly #t: TestContext
  #now = 1000

  constructor(t: TestContext) {
    this.#t = t
    t.mock.timers.enable({ apis: ['setTimeout'] })
    t.mock.method(performance, 'now', () => this.#now)
  }

  get now(): number {
    return this.#now
  }

  /** Moves the clock in steps of one millisecond, with the events of each step. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1) {
      this.#now += 1
      this.#t.mock.timers.tick(1)
      await turn()
    }
  }

  /** Moves the clock by a long time in a few steps. */
  async leap(ms: number): Promise<void> {
    this.#now += ms - 2
    this.#t.mock.timers.tick(ms - 2)
    await turn()
    await this.pass(2)
  }
}

/** Options of a job. */
export interface JobOptions {
  readonly bytes?: number
  /** Priority level; 1 is the highest. */
  readonly level?: number
  /** Milliseconds from now until the deadline of the job. */
  readonly timeoutMs?: number
}

/** A pool with fake workers, in the order of their start, and a clock that only the test moves. */
export class TestPool {
  readonly pool: Pool
  readonly workers: FakeWorker[] = []
  readonly clock: TestClock
  readonly #queued = new Map<Job, QueuedJob>()
  /** Called for each new worker. The default loads the model immediately. */
  onStart: (worker: FakeWorker) => void = (worker) => worker.load()

  /** @param clock Clock of another pool, for tests with several pools. */
  constructor(t: TestContext, options: Partial<PoolOptions> = {}, clock = new TestClock(t)) {
    this.clock = clock
    this.pool = new Pool({
      modelName: 'm',
      version: '1.0',
      batchSize: 1,
      maxBatchDelayMs: 0,
      queue: { maxJobs: 100, maxBytes: 1000 },
      priorityLevels: 1,
      queueTimeoutMs: 60_000,
      overloadStatus: 503,
      crashQuarantineMs: 300_000,
      isRetryable: true,
      startWorker: () => {
        const worker = new FakeWorker()
        worker.ready.catch(() => {})
        this.workers.push(worker)
        this.onStart(worker)
        return worker
      },
      log: pino({ level: 'silent' }),
      ...options,
    })
  }

  static async of(
    t: TestContext,
    workers: number,
    options: Partial<PoolOptions> = {},
    clock = new TestClock(t),
  ): Promise<TestPool> {
    const it = new TestPool(t, options, clock)
    await it.pool.scale(workers)
    return it
  }

  /** The worker with this index in the order of starts; -1 for the newest. */
  worker(index: number): FakeWorker {
    const worker = this.workers.at(index)
    assert.ok(worker, `worker ${index} was started`)
    return worker
  }

  submit(name: string, { bytes = 1, level = 1, timeoutMs }: JobOptions = {}): Job {
    const job = new Job(
      [['name', name]],
      // Two jobs with the same name have the same body.
      [{ name, contentType: '', value: Buffer.alloc(bytes) }],
      { level, deadline: timeoutMs === undefined ? undefined : this.clock.now + timeoutMs },
    )
    job.result.catch(() => {})
    this.#queued.set(job, this.pool.submit(job))
    return job
  }

  /** What the queue knows of an accepted job. */
  queued(job: Job): QueuedJob {
    const queued = this.#queued.get(job)
    assert.ok(queued, 'the job was accepted')
    return queued
  }

  /** The client of an accepted job disconnects. */
  cancel(job: Job): void {
    this.pool.cancel(this.queued(job))
  }

  submitAll(...names: string[]): Job[] {
    return names.map((name) => this.submit(name))
  }

  pass(ms: number): Promise<void> {
    return this.clock.pass(ms)
  }

  leap(ms: number): Promise<void> {
    return this.clock.leap(ms)
  }
}

export function nameOf(request: WireRequest): string {
  return request.headers[0]?.[1] ?? ''
}

export async function answerOf(job: Job): Promise<string> {
  return (await job.result).body.toString()
}

/** The result of a job; `waiting` if it has none yet. */
export async function outcome(job: Job): Promise<string> {
  if (!job.isSettled) return 'waiting'
  return job.result.then(
    ({ body }) => body.toString(),
    (error: unknown) =>
      error instanceof ServerError ? `${error.statusCode} ${error.type}` : String(error),
  )
}

export function outcomes(jobs: readonly Job[]): Promise<string[]> {
  return Promise.all(jobs.map(outcome))
}
