/** A pool whose workers make no move of their own, and whose clock only the test moves. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import { ServerError } from '../../src/errors.ts'
import { Job } from '../../src/models/scheduling/job.ts'
import type { PoolOptions } from '../../src/models/scheduling/pool-options.ts'
import { Pool } from '../../src/models/scheduling/pool.ts'
import type { PoolWorker } from '../../src/models/scheduling/pool.ts'
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
  answered = 0
  /** What the policy of dispatch knows about it, see {@link keepInFlight}. */
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
  /** In hand, oldest first, and all that ever came. */
  readonly batches: Batch[] = []
  readonly seen: string[][] = []
  readonly kills: string[] = []
  /** Times that it was said to have had nothing to do while work waited. */
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
   * Gives it run times by which it gets up to `complete` batches at once, and only `partial` where
   * others could still join the last one.
   */
  keepInFlight(complete: number, partial = 1): void {
    this.#depths = { complete, partial }
    this.progress.meanRunMs = partial > 1 ? 0.99 / (partial - 1) : 10
    this.progress.hasBodyFile = complete > partial
    this.progress.idleWhileWaited = Math.max(0, complete - 2)
  }

  /** Gives it runs that are shorter than it takes to wake another worker; it gets up to `count` at once. */
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

  /** Answers the batch at the head: each request with its own name. */
  answer(reply: Partial<WorkerReply> = {}): void {
    const batch = this.batches.shift()
    assert.ok(batch, 'nothing to answer')
    this.progress.inFlight -= 1
    this.answered += 1
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

  /** Ends as a real worker does: the batch at the head had started, those behind it had not. */
  die(text = 'was killed by SIGKILL', error?: Error, isShortage = false): void {
    if (this.state === 'stopped') return
    this.state = 'stopped'
    this.sayFailed(new ServerError('InternalServerException', `Failed to start workers: ${text}`))
    this.sayExited({ code: null, signal: 'SIGKILL', text, isShortage })
    this.batches.splice(0).forEach((batch, index) => {
      batch.reject(index === 0 && error ? error : new WorkerDiedError(text, index === 0))
    })
  }

  /** Could not be started, because the machine has no resources for it. */
  failToStart(): void {
    this.die('could not be started (EMFILE)', undefined, true)
  }

  kill(because: string): void {
    this.kills.push(because)
    this.die(because)
  }

  async stop(): Promise<void> {
    this.die('exited with code 0')
  }
}

/** Time that passes only when the test says so. */
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

  /** Lets time pass, one event at a time. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1) {
      this.#now += 1
      this.#t.mock.timers.tick(1)
      await turn()
    }
  }

  /** Lets much time pass in a few steps. */
  async leap(ms: number): Promise<void> {
    this.#now += ms - 2
    this.#t.mock.timers.tick(ms - 2)
    await turn()
    await this.pass(2)
  }
}

/** What a job is submitted with. */
export interface JobOptions {
  readonly bytes?: number
  /** Priority, 1 for the highest. */
  readonly level?: number
  /** Milliseconds from now until it is too late for a worker to take the job. */
  readonly timeoutMs?: number
}

/** A pool, its workers in the order in which they were started, and a clock that only the test moves. */
export class TestPool {
  readonly pool: Pool
  readonly workers: FakeWorker[] = []
  readonly clock: TestClock
  /** What each new worker is like; loaded at once unless the test says otherwise. */
  onStart: (worker: FakeWorker) => void = (worker) => worker.load()

  /** @param clock Of another pool, where a test has several. */
  constructor(t: TestContext, options: Partial<PoolOptions> = {}, clock = new TestClock(t)) {
    this.clock = clock
    this.pool = new Pool({
      modelName: 'm',
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

  /** The worker that was started as number `index`; the newest for -1. */
  worker(index: number): FakeWorker {
    const worker = this.workers.at(index)
    assert.ok(worker, `worker ${index} was started`)
    return worker
  }

  submit(name: string, { bytes = 1, level = 1, timeoutMs }: JobOptions = {}): Job {
    const job = new Job(
      [['name', name]],
      // Two jobs of one name have the same body.
      [{ name, contentType: '', value: Buffer.alloc(bytes) }],
    )
    job.level = level
    if (timeoutMs !== undefined) job.deadline = this.clock.now + timeoutMs
    job.result.catch(() => {})
    this.pool.submit(job)
    return job
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

/** What a job came to, `waiting` when nothing yet. */
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
