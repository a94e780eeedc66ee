import type { Logger } from 'pino'
import type { WireDialect } from '../worker/wire/messages.ts'
import type { EffectiveSettings } from './effective-settings.ts'
import { MetadataMemory } from './model-index/metadata-memory.ts'
import { PipelineMetadata } from './pipelines/pipeline-metadata.ts'
import type { Commit, ModelContext, Scaling, WorkerLimits } from './registration.ts'
import { OnDemand } from './residency/on-demand.ts'
import { poolSettings } from './scheduling/pool-options.ts'
import { Pool } from './scheduling/pool.ts'
import type { PoolWorker } from './scheduling/pool.ts'
import { Recycler, recycleLimits } from './scheduling/slots/recycler.ts'
import { Scaler } from './scheduling/slots/scaler.ts'
import type { WantedWorkers } from './scheduling/slots/scaler.ts'
import { FileCheck } from './sources/file-check.ts'
import type { PreparedModel } from './sources/prepare.ts'
import type { VersionWeights } from './weights/weight-cache.ts'
import { askForMetadata, requestMetadata } from './workers/describe-handler.ts'
import { MeasuredWorkers } from './workers/memory-guard.ts'

/** The workers of one model version: starts them now or on demand, scales, replaces, stops them. */
export class VersionWorkers {
  readonly pool: Pool
  /** The server whose worker runs the Python handler; `undefined` for onnxd's own worker. */
  readonly dialect: WireDialect | undefined
  /** The weights that the workers share; `undefined` without a weight cache. */
  readonly weights: VersionWeights | undefined
  /** Absent if the workers start with the registration. */
  readonly onDemand: OnDemand | undefined
  readonly #prepared: PreparedModel
  readonly #settings: EffectiveSettings
  readonly #context: ModelContext
  readonly #scaler: Scaler
  readonly #recycler: Recycler
  readonly #files: FileCheck
  readonly #log: Logger
  readonly #measured = new MeasuredWorkers()
  readonly #closing = new AbortController()
  readonly #metadata: MetadataMemory | PipelineMetadata
  #isClosing = false

  constructor(prepared: PreparedModel, settings: EffectiveSettings, context: ModelContext) {
    const { config, factory, memory, weights, share, log } = context
    this.#prepared = prepared
    this.#settings = settings
    this.#context = context
    this.dialect = factory.pythonDialect(prepared)
    this.#log = log.child({ model: prepared.name, version: prepared.version })
    this.weights = weights?.weightsOf(prepared, settings, this.#log)
    this.#files = new FileCheck(prepared, log)
    this.pool = new Pool({
      ...poolSettings(prepared, settings, config),
      startWorker: (slotId) => this.#startWorker(slotId),
      onDemand: settings.loadsOnDemand
        ? {
            canStart: () => this.wanted.min > 0,
            rejection: () => this.onDemand?.rejection(),
            onRequest: () => this.onDemand?.use(),
          }
        : undefined,
      log,
    })
    this.#scaler = new Scaler(this.pool, settings.workers, share, async (missing, existing) => {
      if (memory === undefined) return undefined
      await this.#measure()
      const { privateBytes } = this.#measured
      const sharedBytes = this.weights?.status.bytes
      return memory.admit(prepared, missing, existing, { privateBytes, sharedBytes })
    })
    this.#recycler = new Recycler(this.pool, recycleLimits(config), this.#log)
    this.onDemand = settings.loadsOnDemand ? this.#createOnDemand() : undefined
    this.#metadata =
      PipelineMetadata.of(prepared, context.steps) ??
      new MetadataMemory(prepared, settings, context.index)
  }

  /**
   * Inputs, outputs, types, shapes, runtime; `undefined` until a worker has returned them, in this
   * run of the server or before.
   */
  get metadata(): unknown {
    return this.#metadata.metadata
  }

  /** The wanted number of workers. */
  get wanted(): WantedWorkers {
    return this.#scaler.wanted
  }

  /**
   * Starts the workers; resolves when all have loaded the model.
   * @param signal Stops the workers, and so the load, when it is aborted.
   * @throws ServerError with the worker's own reason.
   */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const begun = performance.now()
    const stop = (): void => void this.pool.close(0)
    signal.addEventListener('abort', stop, { once: true })
    try {
      await this.#unpack(signal)
      await this.#chooseWeights(signal)
      await this.#scaler.start()
      await this.#learn()
    } finally {
      signal.removeEventListener('abort', stop)
    }
    void this.weights?.prepareLater()
    this.#files.watch(this.pool)
    if (this.onDemand === undefined) await this.#logLoad(performance.now() - begun)
  }

  /**
   * Loads a model that loads on demand; does nothing if it is loaded.
   * @param signal Closes the version when it is aborted.
   * @throws ServerError with the worker's own reason.
   */
  async loadNow(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const stop = (): void => void this.close(0)
    signal.addEventListener('abort', stop, { once: true })
    try {
      await this.onDemand?.loadNow(this.#context.config.queueTimeout * 1000)
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /**
   * Loads a model that loads on demand if its metadata is not known yet.
   * @throws ServerError if it cannot be loaded.
   */
  async learnMetadata(...known: Parameters<PipelineMetadata['learn']>): Promise<void> {
    if (this.#metadata instanceof PipelineMetadata) return this.#metadata.learn(...known)
    if (this.metadata !== undefined || this.onDemand === undefined || this.dialect === 'mms') return
    this.#metadata.record(await requestMetadata(this.pool))
  }

  /** As {@link Scaler.scale}. A model that is not in memory starts its workers later. */
  async scale(limits: WorkerLimits, commit: Commit): Promise<Scaling> {
    const { done } = await this.#scaler.scale(limits, commit, this.onDemand?.isLoaded === false)
    this.onDemand?.recordScaling(limits.max > 0)
    return { done: this.#finishScaling(done) }
  }

  /**
   * Finishes accepted requests within `drainMs`, then stops the workers. Loads the model first if
   * accepted requests wait for it.
   */
  async close(drainMs: number): Promise<void> {
    this.#isClosing = true
    const isLoadWanted = this.onDemand?.isLoaded === false && this.pool.queued > 0
    if (drainMs === 0 || !isLoadWanted) this.#stopLoading()
    this.#recycler.close()
    this.#files.close()
    await this.pool.close(drainMs)
    this.#stopLoading()
    this.#files.close()
    this.weights?.close()
  }

  #stopLoading(): void {
    this.weights?.stopPreparing()
    this.onDemand?.close()
    this.#closing.abort()
  }

  async #finishScaling(scaled: Promise<void>): Promise<void> {
    await scaled
    // Workers that an earlier request has started count as well.
    await Promise.allSettled(this.pool.slots.map(({ worker }) => worker.ready))
    await this.#learn()
  }

  async #unpack(signal: AbortSignal): Promise<void> {
    const { archive, name } = this.#prepared
    if (archive === undefined) return
    await archive.unpack(name, signal)
    await this.#context.factory.share(this.#prepared)
  }

  /**
   * One worker loads the original model at once if the cache has no entry. Several workers, also of
   * other HTTP processes, wait for the entry: each would have a copy. Where a request waits for the
   * load, not even an existing entry is checked first.
   */
  async #chooseWeights(signal: AbortSignal): Promise<void> {
    if (this.onDemand !== undefined) await this.weights?.useChecked()
    else if (this.wanted.min > 1 || this.#context.share) await this.weights?.prepare(signal)
    else await this.weights?.usePresent(signal)
  }

  async #logLoad(ms: number): Promise<void> {
    if (this.pool.slots.length === 0) return
    const memoryMib = Math.ceil((await this.#measure()) / 1024 / 1024)
    const cached = this.weights?.isCached ?? false
    this.#log.info({ ms: Math.round(ms), memoryMib, cached }, 'model loaded')
  }

  /** Measures the workers that have loaded the model. */
  #measure(): Promise<number> {
    const ready = this.pool.slots.filter(({ worker }) => worker.state === 'ready')
    return this.#measured.measure(ready.map(({ worker }) => worker.pid))
  }

  #createOnDemand(): OnDemand {
    const { pool } = this
    return new OnDemand(
      {
        prepared: this.#prepared,
        get isWanted() {
          return pool.queued > 0
        },
        get isBusy() {
          return pool.status.isBusy
        },
        workers: () => this.wanted.own,
        isCached: () => this.weights?.isCached ?? false,
        start: () => this.start(this.#closing.signal),
        measure: () => this.#measure(),
        stop: () => {
          this.#files.close()
          return this.#isClosing ? pool.close(0) : pool.scale(0)
        },
        rejectWaiting: (error) => pool.rejectWaiting(error),
        metrics: pool.metrics,
        log: this.#log,
      },
      this.#context.modelMemory,
    )
  }

  #startWorker(slotId: number): PoolWorker {
    const { printed } = this.pool.metrics
    const { weights } = this
    const files = {
      check: this.#files.begin,
      weights: weights && (() => weights.forWorker(this.pool.status.readyWorkers > 0)),
    }
    return this.#context.factory.start(this.#prepared, this.#settings, slotId, printed, files)
  }

  /**
   * Asks a ready worker for its metadata. An MMS worker would treat the question as a prediction.
   */
  async #learn(): Promise<void> {
    const canAsk = this.pool.status.readyWorkers > 0 && this.dialect !== 'mms' && !this.#isClosing
    if (!canAsk || this.#metadata.isLearned) return
    this.#metadata.record(await askForMetadata(this.pool, this.#prepared.name, this.#context.log))
  }
}
