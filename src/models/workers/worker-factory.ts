import path from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../../config/config.ts'
import { JSON_ROOM_BYTES } from '../../contract/body-limits.ts'
import { WARM_UP_LINE } from '../../contract/worker-lines.ts'
import { ServerError } from '../../errors.ts'
import type { CallAnswers } from '../../worker/host/calls/call-channel.ts'
import { HandedOverProcess } from '../../worker/host/child-process/handed-over-process.ts'
import type {
  OnLine,
  StartedProcess,
  WorkerProcess,
} from '../../worker/host/child-process/worker-process.ts'
import { IsolationReport } from '../../worker/host/isolation.ts'
import type { PythonInstallation } from '../../worker/host/python/python-installation.ts'
import { pythonWorker } from '../../worker/host/python/python-worker.ts'
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
import { availableBytes } from './memory-guard.ts'
import { ProcessStarter, SOCKET } from './process-starter.ts'
import type { StarterOptions } from './process-starter.ts'
import { choosePython, folderOf } from './python-model.ts'
import { SpareWorkers } from './spare-workers.ts'
import { fileChecks } from './worker-files.ts'
import type { WorkerFiles } from './worker-files.ts'
import { isBuiltIn, runsCode, workerOptions, workerTimeoutMs } from './worker-options.ts'

/** Maximum of batches in flight at one of onnxd's own workers. */
const MAX_DEPTH = 8
/** Limit for names, headers and phrases in a frame. */
const MAX_TEXT_BYTES = 1024 * 1024

/** The parts of a worker's specification that differ between onnxd's and Python workers. */
interface SpecialPart extends Omit<
  WorkerSpec,
  'load' | 'limits' | 'loadTimeoutMs' | 'responseTimeoutMs'
> {
  /** Path for the worker. onnxd's own worker also accepts a single file. */
  readonly modelPath: string
  readonly ioDescriptor: string
}

/** What a factory needs from the server. */
export interface FactoryOptions extends StarterOptions {
  readonly log: Logger
  /** The Python installation for Python handlers; `undefined` if there is none. */
  readonly python: PythonInstallation | undefined
  /** Returns the bytes that processes may still use. */
  readonly availableMemory?: (() => Promise<number>) | undefined
}

/** Starts worker processes. The server has one factory. */
export class WorkerFactory {
  /** Resolves when the first worker has been started. */
  readonly firstStart: Promise<void>
  /** Processes that wait for a model. */
  readonly spares: SpareWorkers
  /** Workers by the process that they got: a new one, or a spare one. */
  readonly starts = { plain: 0, spare: 0 }
  /** Answers the calls of handlers to other models. Set before the first model is loaded. */
  callsOf: ((model: PreparedModel, settings: EffectiveSettings) => CallAnswers) | undefined
  readonly #config: Config
  readonly #runtime: RuntimeDirectory
  readonly #starter: ProcessStarter
  readonly #log: Logger
  readonly #python: PythonInstallation | undefined
  readonly #isolation: IsolationReport
  #noteStart = (): void => {}
  readonly #alive = new Set<Worker>()
  #nextGpu = 0

  constructor(options: FactoryOptions) {
    const { config, runtime, log, python, availableMemory = availableBytes } = options
    this.#config = config
    this.#runtime = runtime
    this.#starter = new ProcessStarter(options)
    this.#isolation = new IsolationReport(log)
    this.#python = python
    this.firstStart = new Promise((resolve) => (this.#noteStart = resolve))
    this.#log = log
    this.spares = new SpareWorkers({
      wanted: config.spareWorkers,
      start: () => this.#starter.startOwn(true),
      availableBytes: availableMemory,
      log,
    })
  }

  /**
   * Rejects a model that cannot be served, before a process is started.
   * @throws ServerError `HandlersNotAllowedException` or `InvalidModelException`.
   */
  check(model: PreparedModel, handler: string): void {
    this.pythonDialect(model)
    if (runsCode(model, handler) && !this.#config.allowHandlers) {
      throw new ServerError(
        'HandlersNotAllowedException',
        `Model ${model.name} has a custom handler, and this server does not run custom handlers. If you trust the model, start the server with --allow-handlers.`,
      )
    }
  }

  /**
   * Makes an unpacked, uploaded or downloaded model readable for workers that run as another user.
   */
  async share({ modelPath }: PreparedModel): Promise<void> {
    const { path: runtime } = this.#runtime
    const { stateDir } = this.#config
    const kept = stateDir === '' ? [] : [path.resolve(stateDir)]
    const uploads = path.join(kept[0] ?? runtime, 'models')
    await this.#runtime.share(modelPath, [runtime, ...kept, uploads])
  }

  /**
   * Returns the server whose Python worker runs a model; `undefined` for onnxd's own worker.
   * @throws ServerError `InvalidModelException` if the model needs a Python worker that is not
   * installed.
   */
  pythonDialect(model: PreparedModel): WireDialect | undefined {
    return model.runtime === 'node' ? undefined : choosePython(model, this.#python).dialect
  }

  /** Starts a worker, which loads the model. Metrics that it prints go to `printed`. */
  start(
    model: PreparedModel,
    settings: EffectiveSettings,
    slotId: number,
    printed: PrintedMetrics,
    files: WorkerFiles = {},
  ): PoolWorker {
    const { gpus, maxResponseBytes } = this.#config
    const log = this.#log.child({ model: model.name, version: model.version, worker: slotId })
    const isOwn = model.runtime === 'node'
    const onLine: OnLine = (line, stream) => {
      const isMetric = line.startsWith(METRICS_PREFIX)
      const problem = isMetric ? printed.take(line) : undefined
      if (problem !== undefined) log.warn({ problem }, 'a metric of the handler was dropped')
      // The loggers of the Python workers write everything to stdout, errors too.
      const isDetail = isMetric || (isOwn && stream === 'stdout')
      log[isDetail ? 'debug' : 'info']({ stream, line }, 'worker output')
    }
    const special = isOwn
      ? this.#ownWorker(model, settings, files, onLine, log)
      : this.#pythonWorker(model, settings, onLine)
    const worker = new Worker({
      ...special,
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
      ...fileChecks(() => special.process.folder, files, special.onLine),
      loadTimeoutMs: settings.startupTimeoutMs,
      responseTimeoutMs: workerTimeoutMs(settings),
    })
    this.#alive.add(worker)
    this.#noteStart()
    this.#isolation.note(worker)
    if (isOwn && isBuiltIn(settings)) this.spares.noteLoad(worker.ready)
    void worker.exited.then(() => this.#alive.delete(worker))
    return worker
  }

  /** Stops every running worker, also those that are starting, and the spare ones. */
  async close(): Promise<void> {
    const workers = [...this.#alive]
    for (const worker of workers) worker.kill('was told to stop')
    await Promise.all([this.spares.close(), ...workers.map((worker) => worker.exited)])
    await this.#starter.close()
  }

  #ownWorker(
    model: PreparedModel,
    settings: EffectiveSettings,
    files: WorkerFiles,
    onLine: OnLine,
    log: Logger,
  ): SpecialPart {
    const options = JSON.stringify(workerOptions(this.#config, model, settings, files))
    return {
      process: this.#ownProcess(settings, options, log),
      dialect: 'mms',
      warmUpLine: WARM_UP_LINE,
      maxInFlight: MAX_DEPTH,
      ...(!isBuiltIn(settings) && {
        streams: { canCancel: true },
        calls: this.callsOf?.(model, settings),
      }),
      modelPath: model.modelPath,
      ioDescriptor: '',
      onLine,
    }
  }

  /** A spare process, if there is one and the model can use it; else a new one. */
  #ownProcess(settings: EffectiveSettings, options: string, log: Logger): WorkerProcess {
    const startNew = (): StartedProcess => {
      this.starts.plain += 1
      return this.#starter.startOwn(isBuiltIn(settings), options).process
    }
    const spare = isBuiltIn(settings) ? this.spares.take(options) : undefined
    if (spare === undefined) return startNew()
    const { pid } = spare
    const process = new HandedOverProcess(spare, startNew)
    void process.isSpareKept.then((isKept) => {
      if (isKept) this.starts.spare += 1
      else log.warn({ pid }, 'a spare worker did not accept its model; a new process is started')
    })
    return process
  }

  #pythonWorker(model: PreparedModel, settings: EffectiveSettings, onLine: OnLine): SpecialPart {
    const folder = this.#starter.newFolder()
    const modelPath = folderOf(model)
    const worker = pythonWorker(
      {
        ...choosePython(model, this.#python),
        socketPath: path.join(folder, SOCKET),
        modelName: model.name,
        modelFolder: modelPath,
        handler: settings.handler,
        threads: settings.threads,
        metricsConfig: this.#config.metricsConfig,
        onLine,
      },
      this.#starter.environment,
    )
    this.starts.plain += 1
    return { ...worker, modelPath, process: this.#starter.start(folder, worker, worker.tidyUp) }
  }
}
