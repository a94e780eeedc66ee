import type { Logger } from 'pino'
import type { Config, ConfigOrigins } from '../config.ts'
import { ServerError } from '../errors.ts'
import type { WireDialect } from '../worker/wire/messages.ts'
import { askHandler } from './ask-handler.ts'
import { resolveSettings, valuesOf } from './effective-settings.ts'
import type { EffectiveSettings, ShownSettings, VersionOptions } from './effective-settings.ts'
import { Job } from './job.ts'
import type { Header, Parameter } from './job.ts'
import type { MemoryGuard } from './memory-guard.ts'
import { Pool } from './pool.ts'
import type { PoolWorker } from './pool.ts'
import { checkPythonInput } from './python-input.ts'
import { Recycler } from './recycler.ts'
import { discard } from './source.ts'
import type { PreparedModel } from './source.ts'
import { NO_URGENCY, deadlineOf, levelOf } from './urgency.ts'
import type { WorkerFactory } from './worker-factory.ts'
import { lastLines } from './worker-log.ts'

/** Who asked for a version: the command line, a request, or a request before the last restart. */
export type Origin = 'start' | 'request' | 'restored'

/** How a version is registered. */
export interface Registration {
  readonly options: VersionOptions
  readonly origin: Origin
}

/** What every model version needs of the server. */
export interface ModelContext {
  readonly config: Config
  /** Who set the settings that are not the defaults. */
  readonly configOrigins: ConfigOrigins
  readonly factory: WorkerFactory
  /** Decides what fits; absent where nothing is to be refused. */
  readonly memory?: MemoryGuard | undefined
  readonly log: Logger
}

/** A change of the number of workers that has begun. */
export interface Scaling {
  /** They are ready, or gone. @throws ServerError when a new worker cannot load the model; those that could stay. */
  readonly done: Promise<void>
}

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
  /** Settles when the last request to scale has begun: they begin in the order in which they came. */
  #lastScaling: Promise<unknown> = Promise.resolve()
  /** The worker behind an error of loading. */
  readonly #failedWorkers = new WeakMap<ServerError, PoolWorker>()

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
    this.pool = new Pool({
      modelName: prepared.name,
      batchSize: this.settings.batchSize,
      maxBatchDelayMs: this.settings.maxBatchDelayMs,
      queue: { maxJobs: config.queueSize, maxBytes: config.queueBytes },
      priorityLevels: this.settings.priorityLevels,
      queueTimeoutMs: config.queueTimeout * 1000,
      overloadStatus: Number(config.overloadStatus),
      crashQuarantineMs: config.crashQuarantine * 1000,
      isRetryable: !prepared.hasCode || prepared.settings.idempotent === true,
      startWorker: (slotId) => this.#startWorker(slotId),
      log,
    })
    this.#recycler = new Recycler(
      this.pool,
      {
        maxBatches: config.recycleAfterRequests,
        maxAgeMs: config.recycleAfterSeconds * 1000,
        maxResidentBytes: config.recycleAboveMib * 1024 * 1024,
      },
      log.child({ model: prepared.name, version: prepared.version }),
    )
  }

  /**
   * Starts the workers and resolves when all of them have loaded the model. On failure nothing is left.
   * @param signal Ends the workers, and so the loading, when it is aborted.
   * @throws ServerError with the worker's own reason.
   */
  static async start(
    prepared: PreparedModel,
    registration: Registration,
    context: ModelContext,
    signal: AbortSignal,
  ): Promise<ModelVersion> {
    context.factory.check(prepared, registration.options.handler ?? prepared.handler)
    const version = new ModelVersion(prepared, registration, context)
    signal.addEventListener('abort', () => void version.pool.close(0), { once: true })
    try {
      const { workers } = version.settings
      const release = await version.#admit(workers)
      await context.factory.share(prepared)
      await version.pool.scale(workers).finally(release)
      await version.#learn()
    } catch (error) {
      version.#recycler.close()
      await version.pool.close(0)
      throw version.#withLog(error)
    }
    return version
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
   * when there are more. A retired worker gets `timeoutMs` to finish what it has in hand.
   * @throws ServerError `InsufficientMemoryException` when there is no room for more; then all stays as it is.
   */
  scale(min: number, max: number, timeoutMs?: number): Promise<Scaling> {
    const begun = this.#lastScaling.then(() => this.#beginScaling(min, max, timeoutMs))
    this.#lastScaling = begun.catch(() => {})
    return begun
  }

  /**
   * Finishes accepted work within `drainMs`, ends the workers and removes what was unpacked.
   * @param keepsDelivery The server stops, and the next one will serve the model again.
   */
  async close(drainMs: number, keepsDelivery = false): Promise<void> {
    this.#recycler.close()
    await this.pool.close(drainMs)
    await discard(this.prepared, keepsDelivery)
  }

  async #beginScaling(min: number, max: number, timeoutMs?: number): Promise<Scaling> {
    const count = Math.min(Math.max(this.pool.slots.length, min), max)
    const release = await this.#admit(count)
    this.minWorkers = min
    this.maxWorkers = max
    this.isScaled = true
    return { done: this.#finishScaling(this.pool.scale(count, timeoutMs).finally(release)) }
  }

  async #finishScaling(scaled: Promise<void>): Promise<void> {
    try {
      await scaled
    } catch (error) {
      throw this.#withLog(error)
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
    const worker = factory.start(this.prepared, this.settings, slotId, printed)
    worker.ready.catch((error: unknown) => {
      if (error instanceof ServerError) this.#failedWorkers.set(error, worker)
    })
    return worker
  }

  /** The same error with what the worker wrote last, which mostly says more. */
  #withLog(error: unknown): unknown {
    if (!(error instanceof ServerError)) return error
    const log = lastLines(this.#failedWorkers.get(error)?.lastErrors ?? [])
    if (log.length === 0) return error
    const { type, message, statusCode } = error
    return new ServerError(type, message, { statusCode, cause: error, log })
  }

  /** Asks the first worker there is what it serves; MMS's own would take the question for a prediction. */
  async #learn(): Promise<void> {
    const canAsk = this.pool.readyWorkers > 0 && this.#dialect !== 'mms'
    if (canAsk) this.metadata ??= await askHandler(this.pool, this.name, this.#context.log)
  }
}
