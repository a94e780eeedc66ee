import type { Logger } from 'pino'
import { largeBuffers } from '../buffer-pool.ts'
import { memoryOfWorkers } from '../process-identity.ts'
import type { WireDialect } from '../worker/wire/messages.ts'
import { resolveSettings, valuesOf } from './effective-settings.ts'
import type { EffectiveSettings, ShownSettings, VersionOptions } from './effective-settings.ts'
import type { VersionMetrics } from './metrics/version-metrics.ts'
import type {
  Commit,
  ModelContext,
  Origin,
  Registration,
  Scaling,
  WorkerLimits,
} from './registration.ts'
import { OnDemand } from './residency/on-demand.ts'
import type { ResidencyState } from './residency/on-demand.ts'
import { poolSettings } from './scheduling/pool-options.ts'
import { Pool } from './scheduling/pool.ts'
import type { PoolStatus, PoolWorker, Rejection } from './scheduling/pool.ts'
import { deadlineOf, levelOf } from './scheduling/predict-options.ts'
import type { PredictOptions } from './scheduling/predict-options.ts'
import { Prediction } from './scheduling/prediction.ts'
import type { OnAccepted } from './scheduling/prediction.ts'
import { Job } from './scheduling/queue/job.ts'
import type { Header, Parameter } from './scheduling/queue/job.ts'
import { Recycler, recycleLimits } from './scheduling/recycler.ts'
import { Scaler } from './scheduling/scaler.ts'
import type { WantedWorkers } from './scheduling/scaler.ts'
import { FileCheck } from './sources/file-check.ts'
import { discard } from './sources/prepare.ts'
import type { PreparedModel } from './sources/prepare.ts'
import type { VersionWeights } from './weights/weight-cache.ts'
import { askHandler, describeHandler } from './workers/describe-handler.ts'
import { checkPythonInput } from './workers/python-input.ts'

/** The current state of a version. */
export interface VersionStatus extends PoolStatus {
  /** Whether the workers load the model for the first time. */
  readonly isLoading: boolean
  /** Whether the model is in memory; `undefined` if it does not load on demand. */
  readonly residency: ResidencyState | undefined
  /** Minimum number of workers at this time. */
  readonly wantedWorkers: number
  /** Whether a worker is ready, none is wanted, or one is started when a request comes. */
  readonly isReady: boolean
}

/** One version of a model: its files, its settings and its workers. */
export class ModelVersion {
  readonly prepared: PreparedModel
  readonly settings: EffectiveSettings
  /** The settings of the registration. */
  readonly options: VersionOptions
  readonly origin: Origin
  /** The weights that its workers share; `undefined` without a weight cache. */
  readonly weights: VersionWeights | undefined
  readonly #pool: Pool
  /** Inputs, outputs, types, shapes, runtime; `undefined` until a worker has returned them. */
  metadata: unknown
  readonly #shown: ShownSettings
  readonly #context: ModelContext
  /** The server whose worker runs the Python handler; `undefined` for onnxd's own worker. */
  readonly #dialect: WireDialect | undefined
  readonly #scaler: Scaler
  readonly #recycler: Recycler
  readonly #files: FileCheck
  /** Absent if the workers start with the registration. */
  readonly #onDemand: OnDemand | undefined
  #isLoading = true

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
    this.#context = context
    this.#dialect = context.factory.pythonDialect(prepared)
    this.#files = new FileCheck(prepared, log)
    this.weights = context.weights?.weightsOf(prepared, this.settings)
    this.#pool = new Pool({
      ...poolSettings(prepared, this.settings, config),
      startWorker: (slotId) => this.#startWorker(slotId),
      onDemand: this.settings.loadsOnDemand
        ? {
            canStart: () => this.wanted.min > 0,
            rejection: () => this.#onDemand?.rejection(),
            onRequest: () => this.#onDemand?.use(),
          }
        : undefined,
      log,
    })
    const { workers } = this.settings
    this.#scaler = new Scaler(this.#pool, workers, async (missing, existing) =>
      context.memory?.admit(prepared, missing, existing),
    )
    const itsLog = log.child({ model: prepared.name, version: prepared.version })
    this.#recycler = new Recycler(this.#pool, recycleLimits(config), itsLog)
    this.#onDemand = this.settings.loadsOnDemand ? this.#loadOnDemand(itsLog) : undefined
  }

  /**
   * Creates versions without workers, to be loaded or closed.
   * @throws ServerError if a version cannot be served; no process is started before that check.
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
   * Starts the workers; resolves when all have loaded the model. A model that loads on demand starts
   * them later. After a failure the caller must close the version.
   * @param signal Stops the workers, and so the load, when it is aborted.
   * @throws ServerError with the worker's own reason.
   */
  async load(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const stop = (): void => void this.#pool.close(0)
    signal.addEventListener('abort', stop, { once: true })
    try {
      await this.#context.factory.share(this.prepared)
      if (this.#onDemand === undefined) await this.#startWorkers()
    } finally {
      signal.removeEventListener('abort', stop)
    }
    this.#isLoading = false
  }

  get name(): string {
    return this.prepared.name
  }

  get version(): string {
    return this.prepared.version
  }

  /** The current settings with their origins. */
  get shownSettings(): ShownSettings {
    const { min, isScaled } = this.wanted
    return isScaled ? { ...this.#shown, workers: { value: min, from: 'request' } } : this.#shown
  }

  get status(): VersionStatus {
    const pool = this.#pool.status
    const residency = this.#onDemand?.state
    const wantedWorkers = this.#onDemand?.isResting === true ? 0 : this.wanted.min
    const canLoad = residency !== undefined && !pool.hasFailed
    const isReady = wantedWorkers === 0 || pool.readyWorkers > 0 || canLoad
    return { ...pool, isLoading: this.#isLoading, residency, wantedWorkers, isReady }
  }

  /** Counts since the version was registered. */
  get statistics(): VersionMetrics {
    return this.#pool.metrics
  }

  /**
   * Sends one request to a worker and resolves with its response.
   * @throws ServerError `ServiceUnavailableException` if the request cannot be accepted or no
   * worker takes it in time; `BadRequestException` for a priority that does not exist;
   * `InvalidInputException` for a body that would kill MMS's worker; the error of the worker.
   */
  async predict(
    headers: readonly Header[],
    parameters: readonly Parameter[],
    options: PredictOptions,
    onAccepted: OnAccepted,
  ): Promise<Prediction> {
    const { statuses } = this.statistics
    let level: number
    try {
      if (this.#dialect === 'mms') checkPythonInput(parameters)
      level = levelOf(options, this.settings)
    } catch (error) {
      statuses.count(400)
      throw error
    }
    const job = new Job(headers, parameters, { level, deadline: deadlineOf(options), statuses })
    const accepted = this.#pool.submit(job)
    onAccepted(() => this.#pool.cancel(accepted))
    const response = await job.result
    // A custom handler can respond before it has read the whole request.
    const canRelease = !this.prepared.hasCode
    if (canRelease) {
      for (const { value } of parameters) largeBuffers.give(value)
      this.statistics.countRows(response.headers)
    }
    return new Prediction(response, canRelease)
  }

  /**
   * Why {@link predict} would reject any request now; `undefined` if it would not. Counts nothing.
   */
  rejection(): Rejection | undefined {
    return this.#pool.rejection()
  }

  /** Counts a request that was rejected because of {@link rejection}. */
  countRejection(rejection: Rejection): void {
    this.#pool.countRejection(rejection)
  }

  /** Stops workers that load the model for the first time. Workers that already serve stay. */
  stopStarting(): void {
    this.#pool.stopStarting()
  }

  /** The wanted number of workers. */
  get wanted(): WantedWorkers {
    return this.#scaler.wanted
  }

  /**
   * Loads a model that loads on demand if its metadata is not known yet.
   * @throws ServerError if it cannot be loaded.
   */
  async learnMetadata(): Promise<void> {
    if (this.metadata !== undefined || this.#onDemand === undefined || this.#dialect === 'mms')
      return
    this.metadata = await describeHandler(this.#pool)
  }

  /** As {@link Scaler.scale}. */
  async scale(limits: WorkerLimits, commit: Commit): Promise<Scaling> {
    const { done } = await this.#scaler.scale(limits, commit, this.#onDemand?.isLoaded === false)
    this.#onDemand?.recordScaling(limits.max > 0)
    return { done: this.#finishScaling(done) }
  }

  /**
   * Finishes accepted requests within `drainMs`, stops the workers and removes unpacked files.
   * @param keepsDelivery True if the server stops and its next start will serve the model again.
   */
  async close(drainMs: number, keepsDelivery = false): Promise<void> {
    this.#onDemand?.close()
    this.#recycler.close()
    this.#files.close()
    await this.#pool.close(drainMs)
    this.weights?.close()
    await discard(this.prepared, keepsDelivery)
  }

  async #finishScaling(scaled: Promise<void>): Promise<void> {
    await scaled
    // Workers that an earlier request has started count as well.
    await Promise.allSettled(this.#pool.slots.map(({ worker }) => worker.ready))
    await this.#learn()
  }

  async #startWorkers(): Promise<void> {
    await this.#scaler.start()
    await this.#learn()
    this.#files.watch(this.#pool)
  }

  #loadOnDemand(log: Logger): OnDemand {
    const pool = this.#pool
    return new OnDemand(
      {
        prepared: this.prepared,
        get isWanted() {
          return pool.queued > 0
        },
        get isBusy() {
          return pool.status.isBusy
        },
        workers: () => this.wanted.min,
        start: () => this.#startWorkers(),
        measure: () => memoryOfWorkers(pool.slots.map(({ worker }) => worker.pid)),
        stop: () => {
          this.#files.close()
          return pool.scale(0)
        },
        rejectWaiting: (error) => pool.rejectWaiting(error),
        metrics: pool.metrics,
        log,
      },
      this.#context.modelMemory,
    )
  }

  #startWorker(slotId: number): PoolWorker {
    const { printed } = this.#pool.metrics
    const files = { check: this.#files.begin, weights: this.weights }
    return this.#context.factory.start(this.prepared, this.settings, slotId, printed, files)
  }

  /**
   * Asks a ready worker for its metadata. An MMS worker would treat the question as a prediction.
   */
  async #learn(): Promise<void> {
    const canAsk = this.#pool.status.readyWorkers > 0 && this.#dialect !== 'mms'
    if (canAsk) this.metadata ??= await askHandler(this.#pool, this.name, this.#context.log)
  }
}
