import { largeBuffers } from '../buffer-pool.ts'
import type { DeepCheckReport } from './deep-check/deep-check.ts'
import { resolveSettings, valuesOf } from './effective-settings.ts'
import type { EffectiveSettings, ShownSettings, VersionOptions } from './effective-settings.ts'
import { Measurements } from './measurements.ts'
import type { VersionMetrics } from './metrics/version-metrics.ts'
import { missingStep } from './pipelines/missing-step.ts'
import type {
  Commit,
  ModelContext,
  Origin,
  Registration,
  Scaling,
  WorkerLimits,
} from './registration.ts'
import type { Pool, Rejection } from './scheduling/pool.ts'
import { jobOptionsOf } from './scheduling/predict-options.ts'
import type { PredictOptions } from './scheduling/predict-options.ts'
import { Prediction } from './scheduling/prediction.ts'
import type { OnAccepted } from './scheduling/prediction.ts'
import { Job } from './scheduling/queue/job.ts'
import type { Header, JobOptions, Parameter } from './scheduling/queue/job.ts'
import type { WantedWorkers } from './scheduling/slots/scaler.ts'
import { discard, isHandler } from './sources/prepare.ts'
import type { PreparedModel } from './sources/prepare.ts'
import type { OwnStatus, VersionStatus } from './version-status.ts'
import { VersionWorkers } from './version-workers.ts'
import type { WeightStatus } from './weights/weight-cache.ts'
import { withHandlerHeaders } from './workers/handler-headers.ts'
import { checkPythonInput } from './workers/python-input.ts'

/** One version of a model: its files, its settings and its workers. */
export class ModelVersion {
  readonly prepared: PreparedModel
  readonly settings: EffectiveSettings
  /** The settings of the registration. */
  readonly options: VersionOptions
  readonly origin: Origin
  readonly #context: ModelContext
  readonly #workers: VersionWorkers
  readonly #pool: Pool
  readonly #loadsNow: boolean
  /** Created when it is asked for. A server may have thousands of models. */
  #measurements: Measurements | undefined
  #isLoading = true

  private constructor(
    prepared: PreparedModel,
    { options, origin, loadsNow = false }: Registration,
    context: ModelContext,
  ) {
    this.prepared = prepared
    this.options = options
    this.origin = origin
    this.#loadsNow = loadsNow
    this.#context = context
    this.settings = valuesOf(this.#resolve())
    this.#workers = new VersionWorkers(prepared, this.settings, context)
    this.#pool = this.#workers.pool
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
    for (const model of prepared)
      context.factory.check(model, registration.options.handler ?? model.handler)
    return prepared.map((model) => new ModelVersion(model, registration, context))
  }

  /**
   * Starts the workers; resolves when all have loaded the model. A model that loads on demand
   * starts them later, unless the registration wants it loaded now. After a failure the caller must
   * close the version.
   * @param signal Stops the workers, and so the load, when it is aborted.
   * @throws ServerError with the worker's own reason.
   */
  async load(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.prepared.archive === undefined) await this.#context.factory.share(this.prepared)
    if (!this.settings.loadsOnDemand) await this.#workers.start(signal)
    else if (this.#loadsNow) await this.#workers.loadNow(signal)
    this.#isLoading = false
  }

  /** As {@link VersionWorkers.loadNow}. */
  loadNow(signal: AbortSignal): Promise<void> {
    return this.#workers.loadNow(signal)
  }

  get name(): string {
    return this.prepared.name
  }

  get version(): string {
    return this.prepared.version
  }

  /** Inputs, outputs, types, shapes, runtime; `undefined` until a worker has returned them. */
  get metadata(): unknown {
    return this.#workers.metadata
  }

  /** Whether the workers share their weights; `undefined` without a weight cache. */
  get weights(): WeightStatus | undefined {
    return this.#workers.weights?.status
  }

  /** The current settings with their origins. */
  get shownSettings(): ShownSettings {
    const { min, isScaled } = this.wanted
    const shown = this.#resolve()
    return isScaled ? { ...shown, workers: { value: min, from: 'request' } } : shown
  }

  /** The origins are not kept: a server may have thousands of models. */
  #resolve(): ShownSettings {
    const { config, configOrigins } = this.#context
    return resolveSettings(this.prepared, this.options, config, configOrigins)
  }

  get status(): VersionStatus {
    const own = this.#ownStatus()
    const step = missingStep(this.prepared, this.#context.steps)
    return { ...own, missingStep: step, isReady: own.hasWorker && step === undefined }
  }

  /** As in {@link status}. */
  get hasWorker(): boolean {
    return this.#ownStatus().hasWorker
  }

  #ownStatus(): OwnStatus {
    const pool = this.#pool.status
    const { onDemand } = this.#workers
    const wantedWorkers = onDemand?.isResting === true ? 0 : this.wanted.own
    // The workers respond before the load has ended with the measurement of their memory.
    const isServing = wantedWorkers > 0 && pool.readyWorkers >= wantedWorkers
    const residency = onDemand && (isServing ? 'READY' : onDemand.state)
    const canLoad = residency !== undefined && !pool.hasFailed
    const hasWorker = wantedWorkers === 0 || pool.readyWorkers > 0 || canLoad
    return { ...pool, isLoading: this.#isLoading, residency, wantedWorkers, hasWorker }
  }

  /** Counts since its registration. */
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
    given: readonly Header[],
    parameters: readonly Parameter[],
    options: PredictOptions,
    onAccepted: OnAccepted,
  ): Promise<Prediction> {
    const { statuses } = this.statistics
    const headers = withHandlerHeaders(given, this.#workers.dialect, options)
    const chain = this.prepared.hasCode ? [...(options.chain ?? []), this.name] : undefined
    let jobOptions: JobOptions
    try {
      if (this.#workers.dialect === 'mms') checkPythonInput(parameters)
      jobOptions = jobOptionsOf(options, this.settings, { chain, statuses })
    } catch (error) {
      statuses.count(400)
      throw error
    }
    this.#measurements?.profiler.offer(headers, parameters)
    const job = new Job(headers, parameters, jobOptions)
    const accepted = this.#pool.submit(job)
    onAccepted(() => this.#pool.cancel(accepted), accepted.timing)
    const response = await job.result.catch((error: unknown) => {
      accepted.timing.recordFailure(performance.now(), accepted.waitingSince)
      throw error
    })
    const { observer } = this.#context
    observer?.observe({ model: this, headers, parameters, options, response, accepted })
    this.statistics.recordResponse(response.status, accepted)
    // A custom handler can respond before it has read the whole request.
    const canRelease = !isHandler(this.prepared)
    if (canRelease) {
      for (const { value } of parameters) largeBuffers.give(value)
      this.statistics.countWork(response.headers)
    }
    return new Prediction(response, canRelease, job.stream)
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

  /**
   * Stops workers that load the model for the first time. Workers that already serve stay, and
   * those that accepted requests wait for.
   */
  stopStarting(): void {
    if (!this.settings.loadsOnDemand) this.#pool.stopStarting()
  }

  /** The wanted number of workers. */
  get wanted(): WantedWorkers {
    return this.#workers.wanted
  }

  /** As {@link VersionWorkers.learnMetadata}. */
  learnMetadata(...known: Parameters<VersionWorkers['learnMetadata']>): Promise<void> {
    return this.#workers.learnMetadata(...known)
  }

  get measurements(): Measurements {
    return (this.#measurements ??= new Measurements(this.prepared, this.settings, this.#context))
  }

  /** Result of the deep check; `undefined` if there was none. */
  get deepCheckReport(): DeepCheckReport | undefined {
    return this.#measurements?.deepCheckReport
  }

  /** As {@link VersionWorkers.scale}. */
  scale(limits: WorkerLimits, commit: Commit): Promise<Scaling> {
    return this.#workers.scale(limits, commit)
  }

  /**
   * Finishes accepted requests within `drainMs`, stops the workers and removes unpacked files.
   * @param keepsDelivery True if the server stops and its next start will serve the model again.
   */
  async close(drainMs: number, keepsDelivery = false): Promise<void> {
    await Promise.all([this.#measurements?.close(), this.#workers.close(drainMs)])
    await discard(this.prepared, keepsDelivery)
  }
}
