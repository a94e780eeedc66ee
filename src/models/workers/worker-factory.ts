import path from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import { WARM_UP_LINE } from '../../contract/worker-lines.ts'
import { ServerError } from '../../errors.ts'
import { BUILT_IN_HANDLERS } from '../../model-folder/files.ts'
import { BodyFile } from '../../worker/host/body-file.ts'
import { confine } from '../../worker/host/confinement.ts'
import type { Confinement } from '../../worker/host/confinement.ts'
import { IsolationReport } from '../../worker/host/isolation.ts'
import { READY_LINE, ownWorker, workerEnvironment } from '../../worker/host/own-worker.ts'
import type { PythonInstallation } from '../../worker/host/python-installation.ts'
import { pythonWorker } from '../../worker/host/python-worker.ts'
import type { RuntimeDirectory } from '../../worker/host/runtime-directory.ts'
import type { WorkerSpec } from '../../worker/host/worker-spec.ts'
import { Worker } from '../../worker/host/worker.ts'
import { NO_GPU } from '../../worker/wire/messages.ts'
import type { WireDialect } from '../../worker/wire/messages.ts'
import type { EffectiveSettings } from '../effective-settings.ts'
import { METRICS_PREFIX } from '../metrics/handler-line.ts'
import type { PrintedMetrics } from '../metrics/handler-metrics.ts'
import type { PoolWorker } from '../scheduling/pool.ts'
import type { PreparedModel } from '../sources/prepare.ts'
import { choosePython, folderOf } from './python-model.ts'
import { workerOptions } from './worker-options.ts'

/** Of a worker, in its own folder. */
const SOCKET = 'w.sock'
/** Batches in flight at one of our own workers, at most. */
const MAX_DEPTH = 8
/** Room in a frame for what is not a body: names, headers, phrases. */
const MAX_TEXT_BYTES = 1024 * 1024
/** Room for the JSON in front of binary data that uses up the limit of a response by itself. */
const JSON_ROOM_BYTES = 1024 * 1024

/** What depends on whose program the worker is. */
interface SpecialPart extends Omit<
  WorkerSpec,
  'load' | 'limits' | 'loadTimeoutMs' | 'responseTimeoutMs'
> {
  /** As the worker is told: its own takes a bare file as well. */
  readonly modelPath: string
  readonly ioDescriptor: string
  readonly tidyUp?: () => void
}

/** What a factory takes from the server. */
export interface FactoryOptions {
  readonly config: Config
  readonly runtime: RuntimeDirectory
  readonly environment: NodeJS.ProcessEnv
  readonly log: Logger
  readonly confinement: Confinement
  /** What runs Python handlers, if anything does. */
  readonly python: PythonInstallation | undefined
}

/** Makes worker processes. One for the whole server. */
export class WorkerFactory {
  /** Settles when the first worker has been started. */
  readonly firstStart: Promise<void>
  readonly #config: Config
  readonly #runtime: RuntimeDirectory
  readonly #environment: Record<string, string>
  readonly #log: Logger
  readonly #confinement: Confinement
  readonly #python: PythonInstallation | undefined
  readonly #isolation: IsolationReport
  #noteStart = (): void => {}
  readonly #alive = new Set<Worker>()
  #nextGpu = 0

  constructor({ config, runtime, environment, confinement, log, python }: FactoryOptions) {
    this.#config = config
    this.#runtime = runtime
    this.#confinement = confinement
    this.#isolation = new IsolationReport(log)
    this.#python = python
    this.firstStart = new Promise((resolve) => (this.#noteStart = resolve))
    this.#environment = workerEnvironment(environment, config.workerEnvironment)
    this.#log = log
  }

  /**
   * Refuses what cannot be served before any process is started.
   * @throws ServerError `HandlersNotAllowedException` or `InvalidModelException`.
   */
  check(model: PreparedModel, handler: string): void {
    this.pythonDialect(model)
    const hasCode = model.hasCode || !BUILT_IN_HANDLERS.includes(handler)
    if (hasCode && !this.#config.allowHandlers) {
      throw new ServerError(
        'HandlersNotAllowedException',
        `Model ${model.name} brings code of its own, which this server does not run. Start it with --allow-handlers to trust such models.`,
      )
    }
  }

  /** Lets workers of another user read a model that was unpacked, uploaded or downloaded. */
  async share({ modelPath }: PreparedModel): Promise<void> {
    const { path: runtime } = this.#runtime
    const { stateDir } = this.#config
    const kept = stateDir === '' ? [] : [path.resolve(stateDir)]
    const uploads = path.join(kept[0] ?? runtime, 'models')
    await this.#runtime.share(modelPath, [runtime, ...kept, uploads])
  }

  /**
   * Whose worker runs a model, `undefined` for onnxd's own.
   * @throws ServerError `InvalidModelException` when it takes a Python worker that is not there.
   */
  pythonDialect(model: PreparedModel): WireDialect | undefined {
    return model.runtime === 'node' ? undefined : choosePython(model, this.#python).dialect
  }

  /** Starts one worker of a model version and begins to load the model. What it prints as metrics goes to `printed`. */
  start(
    model: PreparedModel,
    settings: EffectiveSettings,
    slotId: number,
    printed: PrintedMetrics,
    checkFiles?: WorkerSpec['checkFiles'],
  ): PoolWorker {
    const { gpus, maxResponseBytes } = this.#config
    const log = this.#log.child({ model: model.name, version: model.version, worker: slotId })
    const isOwn = model.runtime === 'node'
    const onLine: WorkerSpec['onLine'] = (line, stream) => {
      const isMetric = line.startsWith(METRICS_PREFIX)
      const problem = isMetric ? printed.take(line) : undefined
      if (problem !== undefined) log.warn({ problem }, 'a metric of the handler is not shown')
      // The loggers of the Python workers write everything to stdout, errors too.
      const isDetail = isMetric || (isOwn && stream === 'stdout')
      log[isDetail ? 'debug' : 'info']({ stream, line }, 'worker output')
    }
    const folder = this.#runtime.newWorkerFolder()
    const special = isOwn
      ? this.#ownWorker(model, settings, folder, onLine)
      : this.#pythonWorker(model, settings, folder, onLine)
    const worker = new Worker({
      ...special,
      child: {
        ...confine(special.child, this.#confinement),
        prepare: () => this.#runtime.makeWorkerFolder(folder),
      },
      load: {
        command: 'load',
        modelName: model.name,
        modelPath: special.modelPath,
        batchSize: settings.batchSize,
        handler: settings.handler,
        gpu: gpus > 0 ? this.#nextGpu++ % gpus : NO_GPU,
        ioDescriptor: special.ioDescriptor,
        envelope: model.envelope ?? '',
        limitMaxImagePixels: true,
      },
      limits: {
        maxValueBytes: maxResponseBytes + JSON_ROOM_BYTES,
        maxTextBytes: MAX_TEXT_BYTES,
        maxCount: 65_536,
      },
      checkFiles,
      loadTimeoutMs: settings.startupTimeoutMs,
      responseTimeoutMs: settings.responseTimeoutMs,
    })
    this.#alive.add(worker)
    this.#noteStart()
    this.#isolation.note(worker)
    void worker.exited.then(() => {
      this.#alive.delete(worker)
      special.tidyUp?.()
      this.#runtime.removeWorkerFolder(folder)
    })
    return worker
  }

  /** Ends every worker that is still there, also those that were just starting. */
  async close(): Promise<void> {
    const workers = [...this.#alive]
    for (const worker of workers) worker.kill('was told to stop')
    await Promise.all(workers.map((worker) => worker.exited))
  }

  #ownWorker(
    model: PreparedModel,
    settings: EffectiveSettings,
    folder: string,
    onLine: WorkerSpec['onLine'],
  ): SpecialPart {
    const { workerHeapMib, telemetry } = this.#config
    const socketPath = path.join(folder, SOCKET)
    // A model's own code may keep what it was given; the built-in handlers do not.
    const bodies = BUILT_IN_HANDLERS.includes(settings.handler) ? BodyFile.create() : undefined
    return {
      bodies,
      child: ownWorker(
        {
          socketPath,
          temporaryFolder: folder,
          modelName: model.name,
          modelPath: model.modelPath,
          handler: settings.handler,
          options: JSON.stringify(workerOptions(this.#config, model, settings)),
          threads: settings.threads,
          heapMib: workerHeapMib,
          allowTelemetry: telemetry,
          hasBodyFile: bodies !== undefined,
        },
        this.#environment,
      ),
      address: { path: socketPath },
      dialect: 'mms',
      readyLine: READY_LINE,
      warmUpLine: WARM_UP_LINE,
      maxInFlight: MAX_DEPTH,
      modelPath: model.modelPath,
      ioDescriptor: '',
      onLine,
    }
  }

  #pythonWorker(
    model: PreparedModel,
    settings: EffectiveSettings,
    folder: string,
    onLine: WorkerSpec['onLine'],
  ): SpecialPart {
    const modelPath = folderOf(model)
    return {
      modelPath,
      ...pythonWorker(
        {
          ...choosePython(model, this.#python),
          socketPath: path.join(folder, SOCKET),
          modelName: model.name,
          modelFolder: modelPath,
          handler: settings.handler,
          threads: settings.threads,
          onLine,
        },
        this.#environment,
      ),
    }
  }
}
