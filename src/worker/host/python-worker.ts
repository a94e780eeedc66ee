/**
 * How the front-end starts the original workers in Python: the commands, environments and files that
 * their own front-ends give them (MMS worker process, sections 1.2, 1.5 and 1.8).
 */
import path from 'node:path'
import type { WireDialect } from '../wire/messages.ts'
import { IoFifos } from './io-fifos.ts'
import { LastWords } from './last-words.ts'
import type { PythonInstallation } from './python-installation.ts'
import type { WorkerSpec } from './worker-spec.ts'

/** What differs from one worker to the next. */
export interface PythonWorkerOptions {
  readonly python: PythonInstallation
  readonly dialect: WireDialect
  /** Free path for the socket; the files that go with it have names that begin with it. */
  readonly socketPath: string
  readonly modelName: string
  /** Absolute path of the model's folder. */
  readonly modelFolder: string
  readonly handler: string
  readonly threads: number
  readonly onLine: WorkerSpec['onLine']
}

/** The part of a worker's specification that is special for Python, and how to tidy up after it. */
export interface PythonWorker extends Pick<
  WorkerSpec,
  | 'child'
  | 'address'
  | 'dialect'
  | 'readyLine'
  | 'maxInFlight'
  | 'onLoaded'
  | 'lastWords'
  | 'onLine'
> {
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
 * The originals outlive their front-end. So a shell stays in the process group that waits for the end of
 * its stdin, which the front-end holds: when the front-end is gone, however it went, so is the group.
 */
const LAUNCHER = [
  'exec 3<&0 </dev/null',
  '{ read -r _; kill -9 0; } <&3 3<&- >/dev/null 2>&1 &',
  'exec "$@" 3<&-',
].join('\n')

/** Prepares the start of one worker. */
export function pythonWorker(
  options: PythonWorkerOptions,
  environment: Readonly<Record<string, string>>,
): PythonWorker {
  const { python, dialect, modelFolder } = options
  // TorchServe's worker wants a number behind the last dot, and adds its rank to it.
  const socketPath = dialect === 'mms' ? options.socketPath : `${options.socketPath}.0`
  const folder = path.dirname(socketPath)
  const fifos = new IoFifos(folder, path.basename(socketPath))
  const lastWords = new LastWords()
  const onLine: WorkerSpec['onLine'] = (line, stream) => {
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
    // They read a request only when they have answered the one before.
    maxInFlight: 1,
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
    // Each worker has a server process of its own, so there is nobody to share a loaded model with.
    '--preload-model',
    'false',
    '--tmp-dir',
    path.dirname(socketPath),
  ]
}

function torchserveArguments({ python }: PythonWorkerOptions, socketPath: string): string[] {
  const home = python.homes.get('torchserve') ?? ''
  return ['--sock-name', socketPath, '--metrics-config', path.join(home, 'configs', 'metrics.yaml')]
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
    // What a handler prints is to be read when it is printed.
    PYTHONUNBUFFERED: '1',
    [dialect === 'mms' ? 'MMS_DECODE_INPUT_REQUEST' : 'TS_DECODE_INPUT_REQUEST']: 'true',
  }
}
