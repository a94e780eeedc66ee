/** Reads the command line and the environment of a worker process. */
import type { WorkerOptions } from '../handler.ts'
import { UsageError, parseArguments } from './arguments.ts'
import type { WorkerArguments } from './arguments.ts'
import { parseWorkerOptions } from './options.ts'

/** All settings of a worker process except those in the protocol. */
export interface Settings extends WorkerArguments {
  readonly options: WorkerOptions
  /**
   * File with the options of the model, which is read and removed when the model is loaded.
   * `undefined`: the options come from the environment.
   */
  readonly optionsFile: string | undefined
  /** Whether the environment left the number of OpenMP threads to the model's `threads`. */
  readonly setsOmpThreads: boolean
  /**
   * Whether to end with the first connection. onnxd's own front-end starts a new process instead of
   * connecting again.
   */
  readonly endsWithConnection: boolean
  readonly decodeInput: boolean
  /**
   * Parent process; the worker ends when it dies. `undefined`: the worker does not depend on its
   * parent.
   */
  readonly parentPid: number | undefined
  /** Descriptor of the file with large bodies. `undefined`: all bodies come through the socket. */
  readonly bodyFile: number | undefined
}

/** Reads both. Ends the process with exit code 2 when they are invalid. */
export function readSettings(args: readonly string[], environment: NodeJS.ProcessEnv): Settings {
  try {
    return {
      ...parseArguments(args),
      options: parseWorkerOptions(environment['ONNXD_WORKER_OPTIONS']),
      optionsFile: environment['ONNXD_WORKER_OPTIONS_FILE'],
      setsOmpThreads: environment['OMP_NUM_THREADS'] === undefined,
      endsWithConnection: environment['ONNXD_WORKER_ONCE'] === '1',
      decodeInput: (environment['MMS_DECODE_INPUT_REQUEST'] ?? 'true') === 'true',
      parentPid: readPid(environment['ONNXD_PARENT_PID']),
      bodyFile: environment['ONNXD_BODY_FILE'] === '3' ? 3 : undefined,
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`onnxd worker: error: ${error.message}`)
    return process.exit(2)
  }
}

function readPid(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text)
  throw new UsageError(`ONNXD_PARENT_PID must be a process id, not ${JSON.stringify(text)}`)
}
