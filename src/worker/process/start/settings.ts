import type { WorkerOptions } from '../handler.ts'
/** What command line and environment say to a worker process. */
import { UsageError, parseArguments } from './arguments.ts'
import type { WorkerArguments } from './arguments.ts'
import { parseWorkerOptions } from './options.ts'

/** Everything a worker process is told from outside, but for the protocol. */
export interface Settings extends WorkerArguments {
  readonly options: WorkerOptions
  /** End with the first connection: onnxd's own front-end starts a new process instead of coming back. */
  readonly endsWithConnection: boolean
  readonly decodeInput: boolean
  /** Process to die with, `undefined` to outlive everybody. */
  readonly parentPid: number | undefined
  /** Descriptor of the file with large bodies, `undefined` when all come by the socket. */
  readonly bodyFile: number | undefined
}

/** Reads both; the process ends with code 2 where they cannot be used. */
export function readSettings(args: readonly string[], environment: NodeJS.ProcessEnv): Settings {
  try {
    return {
      ...parseArguments(args),
      options: parseWorkerOptions(environment['ONNXD_WORKER_OPTIONS']),
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
  throw new UsageError(`ONNXD_PARENT_PID is no process id: ${JSON.stringify(text)}`)
}
