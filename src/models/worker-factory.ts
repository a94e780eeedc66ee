import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { ServerError } from '../errors.ts'
import { BUILT_IN_HANDLERS } from '../model-files.ts'
import { READY_LINE, ownWorker, workerEnvironment } from '../worker/host/own-worker.ts'
import type { RuntimeDirectory } from '../worker/host/runtime-directory.ts'
import { Worker } from '../worker/host/worker.ts'
import { NO_GPU } from '../worker/wire/messages.ts'
import type { EffectiveSettings } from './effective-settings.ts'
import type { PoolWorker } from './pool.ts'
import type { PreparedModel } from './source.ts'

/** Batches in flight at one of our own workers, at most. */
const MAX_DEPTH = 8
/** Room in a frame for what is not a body: names, headers, phrases. */
const MAX_TEXT_BYTES = 1024 * 1024
/** Room for the JSON in front of binary data that uses up the limit of a response by itself. */
const JSON_ROOM_BYTES = 1024 * 1024

/** Makes worker processes. One for the whole server. */
export class WorkerFactory {
  readonly #config: Config
  readonly #runtime: RuntimeDirectory
  readonly #environment: Record<string, string>
  readonly #log: Logger
  readonly #alive = new Set<Worker>()
  #nextGpu = 0

  constructor(
    config: Config,
    runtime: RuntimeDirectory,
    environment: NodeJS.ProcessEnv,
    log: Logger,
  ) {
    this.#config = config
    this.#runtime = runtime
    this.#environment = workerEnvironment(environment, config.workerEnvironment)
    this.#log = log
  }

  /**
   * Refuses what cannot be served before any process is started.
   * @throws ServerError `HandlersNotAllowedException` or `InvalidModelException`.
   */
  check(model: PreparedModel, handler: string): void {
    if (model.runtime !== 'node') {
      throw new ServerError('InvalidModelException', `Invalid RuntimeType value: ${model.runtime}`)
    }
    const hasCode = model.hasCode || !BUILT_IN_HANDLERS.includes(handler)
    if (hasCode && !this.#config.allowHandlers) {
      throw new ServerError(
        'HandlersNotAllowedException',
        `Model ${model.name} brings code of its own, which this server does not run. Start it with --allow-handlers to trust such models.`,
      )
    }
  }

  /** Starts one worker of a model version and begins to load the model. */
  start(model: PreparedModel, settings: EffectiveSettings, slotId: number): PoolWorker {
    const { gpus, maxResponseBytes } = this.#config
    const { threads } = settings
    const socketPath = this.#runtime.nextSocketPath()
    const log = this.#log.child({ model: model.name, version: model.version, worker: slotId })
    const worker = new Worker({
      child: ownWorker(
        {
          socketPath,
          temporaryFolder: this.#runtime.path,
          modelName: model.name,
          modelPath: model.modelPath,
          handler: settings.handler,
          options: JSON.stringify(this.#workerOptions(model, settings, threads)),
          threads,
          heapMib: this.#config.workerHeapMib,
          memoryMib: this.#config.workerMemoryMib,
          allowTelemetry: this.#config.telemetry,
        },
        this.#environment,
      ),
      address: { path: socketPath },
      dialect: 'mms',
      load: {
        command: 'load',
        modelName: model.name,
        modelPath: model.modelPath,
        batchSize: settings.batchSize,
        handler: settings.handler,
        gpu: gpus > 0 ? this.#nextGpu++ % gpus : NO_GPU,
        ioDescriptor: '',
        envelope: '',
        limitMaxImagePixels: true,
      },
      limits: {
        maxValueBytes: maxResponseBytes + JSON_ROOM_BYTES,
        maxTextBytes: MAX_TEXT_BYTES,
        maxCount: 65_536,
      },
      readyLine: READY_LINE,
      loadTimeoutMs: settings.startupTimeoutMs,
      responseTimeoutMs: settings.responseTimeoutMs,
      maxDepth: MAX_DEPTH,
      onLine: (line, stream) =>
        log[stream === 'stdout' ? 'debug' : 'info']({ stream, line }, 'worker output'),
    })
    this.#alive.add(worker)
    void worker.exited.then(() => this.#alive.delete(worker))
    return worker
  }

  /** Ends every worker that is still there, also those that were just starting. */
  async close(): Promise<void> {
    const workers = [...this.#alive]
    for (const worker of workers) worker.kill('was told to stop')
    await Promise.all(workers.map((worker) => worker.exited))
  }

  #workerOptions(
    model: PreparedModel,
    { maxBatchSize }: EffectiveSettings,
    threads: number,
  ): Record<string, unknown> {
    const { graphOptimization, providers, warmUp, allowHandlers } = this.#config
    const { maxResponseBytes, maxJsonBytes, maxBodyBytes } = this.#config
    const limits = { maxResponseBytes, maxJsonBytes, maxBodyBytes }
    const { version, settings } = model
    const own = { modelVersion: version, maxBatchSize, labels: settings.labels ?? '' }
    return { threads, graphOptimization, providers, warmUp, allowHandlers, ...limits, ...own }
  }
}
