import type { WireDialect } from '../worker/wire/messages.ts'
import type { Undo } from './changes.ts'
import { resolveSettings, valuesOf } from './effective-settings.ts'
import type { EffectiveSettings, ShownSettings, VersionOptions } from './effective-settings.ts'
import type {
  Commit,
  ModelContext,
  Origin,
  Registration,
  Scaling,
  WorkerLimits,
} from './registration.ts'
import { Job } from './scheduling/job.ts'
import type { Header, Parameter } from './scheduling/job.ts'
import { poolSettings } from './scheduling/pool-options.ts'
import { Pool } from './scheduling/pool.ts'
import type { PoolWorker } from './scheduling/pool.ts'
import { Recycler } from './scheduling/recycler.ts'
import { NO_URGENCY, deadlineOf, levelOf } from './scheduling/urgency.ts'
import { FileCheck } from './sources/file-check.ts'
import { discard } from './sources/prepare.ts'
import type { PreparedModel } from './sources/prepare.ts'
import { askHandler } from './workers/describe-handler.ts'
import { checkPythonInput } from './workers/python-input.ts'
import { FailedWorkers } from './workers/worker-log.ts'

/** One version of a model: its files, its settings, its workers. */
export class ModelVersion {
  readonly prepared: PreparedModel
  readonly settings: EffectiveSettings
  /** What the registration set. */
  readonly options: VersionOptions
  readonly origin: Origin
  readonly pool: Pool
  /** Workers wanted, at least and at most. */
  minWorkers: number
  maxWorkers: number
  /** Whether a request has scaled it since it was started. */
  isScaled = false
  /** What the handler says of itself: inputs, outputs, types, shapes, runtime. `undefined` until a worker answered. */
  metadata: unknown
  readonly #shown: ShownSettings
  readonly #context: ModelContext
  /** Whose worker runs a Python handler; `undefined` for onnxd's own. */
  readonly #dialect: WireDialect | undefined
  readonly #recycler: Recycler
  readonly #files: FileCheck
  #isLoading = true
  /** Settles when the last request to scale has begun: they begin in the order in which they came. */
  #lastScaling: Promise<unknown> = Promise.resolve()
  readonly #failedWorkers = new FailedWorkers()

  private constructor(
    prepared: PreparedModel,
    { options, origin }: Registration,
    context: ModelContext,
  ) {
    const { config, configOrigins, log } = context
    this.prepared = prepared
    this.options = options
    this.origin = origin
    this.#shown = resolveSettings(prepared, options, config, configOrigins)
    this.settings = valuesOf(this.#shown)
    this.minWorkers = this.settings.workers
    this.maxWorkers = this.settings.workers
    this.#context = context
    this.#dialect = context.factory.pythonDialect(prepared)
    this.#files = new FileCheck(prepared, log)
    this.pool = new Pool({
      ...poolSettings(prepared, this.settings, config),
      startWorker: (slotId) => this.#startWorker(slotId),
      log,
    })
    this.#recycler = new Recycler(
      this.pool,
      {
        maxBatches: config.recycleAfterRequests,
        maxAgeMs: config.recycleAfterSeconds * 1000,
        maxResidentBytes: config.recycleAboveMib * 1024 * 1024,
        hasMemoryLimit: config.workerMemoryMib > 0,
      },
      log.child({ model: prepared.name, version: prepared.version }),
    )
  }

  /**
   * Versions without workers, to be loaded or closed.
   * @throws ServerError what refuses one of them before any process is started.
   */
  static createAll(
    prepared: readonly PreparedModel[],
    registration: Registration,
    context: ModelContext,
  ): readonly ModelVersion[] {
    for (const model of prepared) {
      context.factory.check(model, registration.options.handler ?? model.handler)
    }
    return prepared.map((model) => new ModelVersion(model, registration, context))
  }

  /**
   * Starts the workers; resolves when all have loaded the model. After a failure the version is to be closed.
   * @param signal Ends the workers, and so the loading, when it is aborted.
   * @throws ServerError with the worker's own reason.
   */
  async load(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const stop = (): void => void this.pool.close(0)
    signal.addEventListener('abort', stop, { once: true })
    try {
      const { workers } = this.settings
      const release = await this.#admit(workers)
      await this.#context.factory.share(this.prepared)
      await this.pool.scale(workers).finally(release)
      await this.#learn()
    } catch (error) {
      throw this.#failedWorkers.withLog(error)
    } finally {
      signal.removeEventListener('abort', stop)
    }
    this.#isLoading = false
    this.#files.watch(this.pool)
  }

  /** Whether the workers load the model for the first time. */
  get isLoading(): boolean {
    return this.#isLoading
  }

  get name(): string {
    return this.prepared.name
  }

  get version(): string {
    return this.prepared.version
  }

  /** The settings as they are now, and who set them. */
  get shownSettings(): ShownSettings {
    if (!this.isScaled) return this.#shown
    return { ...this.#shown, workers: { value: this.minWorkers, from: 'request' } }
  }

  /**
   * Accepts one request; the job's promise settles when it is done.
   * @throws ServerError `ServiceUnavailableException` when it cannot be accepted, `BadRequestException` for a priority
   * that there is not, `InvalidInputException` when MMS's worker would die of it.
   */
  predict(headers: readonly Header[], parameters: readonly Parameter[], urgency = NO_URGENCY): Job {
    const { statuses } = this.pool.metrics
    const job = new Job(headers, parameters, statuses)
    try {
      if (this.#dialect === 'mms') checkPythonInput(parameters)
      job.level = levelOf(urgency, this.settings)
    } catch (error) {
      statuses.count(400)
      throw error
    }
    job.deadline = deadlineOf(urgency)
    this.pool.submit(job)
    return job
  }

  /**
   * Brings the number of workers between `min` and `max`: up to `min` when there are fewer, down to `max`
   * when there are more.
   * @param commit Makes the new limits those that count.
   * @throws ServerError `InsufficientMemoryException` when there is no room for more, and what `commit` throws;
   * then all stays as it is.
   */
  scale(limits: WorkerLimits, commit: Commit): Promise<Scaling> {
    const begun = this.#lastScaling.then(() => this.#beginScaling(limits, commit))
    this.#lastScaling = begun.catch(() => {})
    return begun
  }

  /**
   * Finishes accepted work within `drainMs`, ends the workers and removes what was unpacked.
   * @param keepsDelivery The server stops, and the next one will serve the model again.
   */
  async close(drainMs: number, keepsDelivery = false): Promise<void> {
    this.#recycler.close()
    this.#files.close()
    await this.pool.close(drainMs)
    await discard(this.prepared, keepsDelivery)
  }

  async #beginScaling(limits: WorkerLimits, commit: Commit): Promise<Scaling> {
    const count = Math.min(Math.max(this.pool.slots.length, limits.min), limits.max)
    const release = await this.#admit(count)
    const isNew = !this.isScaled || this.minWorkers !== limits.min || this.maxWorkers !== limits.max
    try {
      if (isNew) await commit(() => this.#setLimits(limits))
    } catch (error) {
      release?.()
      throw error
    }
    const scaled = this.pool.scale(count, limits.timeoutMs).finally(release)
    return { done: this.#finishScaling(scaled) }
  }

  #setLimits({ min, max }: WorkerLimits): Undo {
    const { minWorkers, maxWorkers, isScaled } = this
    this.minWorkers = min
    this.maxWorkers = max
    this.isScaled = true
    return () => {
      this.minWorkers = minWorkers
      this.maxWorkers = maxWorkers
      this.isScaled = isScaled
    }
  }

  async #finishScaling(scaled: Promise<void>): Promise<void> {
    try {
      await scaled
    } catch (error) {
      throw this.#failedWorkers.withLog(error)
    }
    // Those that an earlier request has started count as well.
    await Promise.allSettled(this.pool.slots.map(({ worker }) => worker.ready))
    await this.#learn()
  }

  /** Keeps room for the workers that are missing up to `count`, until the result is called. */
  async #admit(count: number): Promise<(() => void) | undefined> {
    const existing = this.pool.slots.length
    if (count <= existing) return undefined
    return this.#context.memory?.admit(this.prepared, count - existing, existing)
  }

  #startWorker(slotId: number): PoolWorker {
    const { factory } = this.#context
    const { printed } = this.pool.metrics
    const { begin } = this.#files
    const worker = factory.start(this.prepared, this.settings, slotId, printed, begin)
    this.#failedWorkers.watch(worker)
    return worker
  }

  /** Asks the first worker there is what it serves; MMS's own would take the question for a prediction. */
  async #learn(): Promise<void> {
    const canAsk = this.pool.readyWorkers > 0 && this.#dialect !== 'mms'
    if (canAsk) this.metadata ??= await askHandler(this.pool, this.name, this.#context.log)
  }
}
