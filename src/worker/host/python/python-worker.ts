/**
 * Builds the commands that start the Python workers of MMS and TorchServe, with the environments
 * and files that their own front-ends give them. See `docs/worker-protocol.md`.
 */
import path from 'node:path'
import type { WireDialect } from '../../wire/messages.ts'
import type { OnLine, ProcessSpec } from '../child-process/worker-process.ts'
import type { WorkerSpec } from '../worker-spec.ts'
import { IoFifos } from './io-fifos.ts'
import { METRICS_FILE, declaresMetrics } from './metrics-file.ts'
import type { PythonInstallation } from './python-installation.ts'
import { TracebackErrors } from './traceback-errors.ts'

/** Settings that differ between workers. */
export interface PythonWorkerOptions {
  readonly python: PythonInstallation
  readonly dialect: WireDialect
  /** Unused path for the socket. The names of the worker's other files begin with it. */
  readonly socketPath: string
  readonly modelName: string
  /** Absolute path of the model's folder. */
  readonly modelFolder: string
  readonly handler: string
  readonly threads: number
  /** `metrics.yaml` for TorchServe's worker; empty for that of its package. */
  readonly metricsConfig: string
  readonly onLine: OnLine
}

/**
 * The parts of a worker's specification that are specific to Python, and a function that cleans up.
 */
export interface PythonWorker
  extends
    Omit<ProcessSpec, 'folder'>,
    Pick<WorkerSpec, 'dialect' | 'maxInFlight' | 'streams' | 'onLoaded' | 'lastWords' | 'onLine'> {
  readonly ioDescriptor: string
  /** Closes what the server has open for the worker. Call it when its process has ended. */
  readonly tidyUp: () => void
}

const READY_LINES: Readonly<Record<WireDialect, string>> = {
  mms: 'MMS worker started.',
  torchserve: 'Torch worker started.',
}
const MODULES: Readonly<Record<WireDialect, string>> = {
  mms: 'mms.model_service_worker',
  torchserve: 'ts.model_service_worker',
}

/**
 * Shell script that starts a worker. The workers of MMS and TorchServe do not end when their
 * front-end ends, so a second shell in the process group waits for the end of its stdin, which the
 * front-end keeps open. When the front-end ends in any way, that shell kills the group.
 */
const LAUNCHER = [
  'exec 3<&0 </dev/null',
  '{ read -r _; kill -9 0; } <&3 3<&- >/dev/null 2>&1 &',
  'exec "$@" 3<&-',
].join('\n')

/** Builds the specification of one worker. */
export function pythonWorker(
  options: PythonWorkerOptions,
  environment: Readonly<Record<string, string>>,
): PythonWorker {
  const { python, dialect, modelFolder } = options
  // TorchServe's worker needs a number after the last dot of the path, and adds its rank to it.
  const socketPath = dialect === 'mms' ? options.socketPath : `${options.socketPath}.0`
  const folder = path.dirname(socketPath)
  const fifos = new IoFifos(folder, path.basename(socketPath))
  const lastWords = new TracebackErrors()
  const onLine: OnLine = (line, stream) => {
    lastWords.note(line)
    options.onLine(line, stream)
  }
  const args = dialect === 'mms' ? mmsArguments(options) : torchserveArguments(options, socketPath)
  const command = [python.interpreter, '-m', MODULES[dialect], '--sock-type', 'unix', ...args]
  return {
    child: {
      command: '/bin/sh',
      args: ['-c', LAUNCHER, 'sh', ...command],
      workingDirectory: modelFolder,
      environment: pythonEnvironment(options, environment),
      holdsStdin: true,
    },
    address: { path: socketPath },
    dialect,
    readyLine: READY_LINES[dialect],
    // These workers read a request only after they have answered the previous one.
    maxInFlight: 1,
    // MMS does not know streamed replies. TorchServe's worker reads nothing while it sends one.
    ...(dialect === 'torchserve' && { streams: { canCancel: false } }),
    ioDescriptor: fifos.descriptor,
    onLoaded: () => {
      if (dialect === 'mms') fifos.open(onLine)
    },
    lastWords: () => lastWords.text,
    onLine,
    tidyUp: () => fifos.close(),
  }
}

function mmsArguments(options: PythonWorkerOptions): string[] {
  const { socketPath, handler, modelFolder, modelName } = options
  return [
    '--sock-name',
    socketPath,
    '--handler',
    handler,
    '--model-path',
    modelFolder,
    '--model-name',
    modelName,
    // Each worker has its own server process, so a preloaded model would not be shared.
    '--preload-model',
    'false',
    '--tmp-dir',
    path.dirname(socketPath),
  ]
}

function torchserveArguments(
  { python, modelFolder, metricsConfig }: PythonWorkerOptions,
  socketPath: string,
): string[] {
  const own = path.join(modelFolder, METRICS_FILE)
  const home = python.homes.get('torchserve') ?? ''
  const usual =
    metricsConfig === ''
      ? path.join(home, 'configs', METRICS_FILE)
      : // The worker runs in the folder of the model.
        path.resolve(metricsConfig)
  return ['--sock-name', socketPath, '--metrics-config', declaresMetrics(own) ? own : usual]
}

function pythonEnvironment(
  { dialect, handler, modelFolder, threads }: PythonWorkerOptions,
  environment: Readonly<Record<string, string>>,
): Record<string, string> {
  const [module = ''] = handler.split(':', 1)
  const inherited = environment.PYTHONPATH === undefined ? [] : [environment.PYTHONPATH]
  const searched = [path.join(modelFolder, path.dirname(module)), ...inherited, modelFolder]
  return {
    OMP_NUM_THREADS: String(threads),
    ...environment,
    PYTHONPATH: [...new Set(searched)].join(path.delimiter),
    // The output of a handler must appear when it is printed, not when a buffer is full.
    PYTHONUNBUFFERED: '1',
    [dialect === 'mms' ? 'MMS_DECODE_INPUT_REQUEST' : 'TS_DECODE_INPUT_REQUEST']: 'true',
  }
}
