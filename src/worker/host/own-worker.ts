/**
 * Builds the command that starts onnxd's own worker: the arguments of an MMS worker and a small
 * environment.
 */
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { isNetworkFile } from '../../model-folder/paths.ts'
import type { ChildSpec } from './child.ts'

/** Line that an MMS worker prints to stdout when it listens. */
export const READY_LINE = 'MMS worker started.'

/**
 * Entry file of the worker process. Its path relative to this file is the same in the sources and
 * in the build.
 */
const ENTRY = fileURLToPath(
  new URL(`../process/main${path.extname(fileURLToPath(import.meta.url))}`, import.meta.url),
)

/**
 * Environment variables that workers inherit. Workers do not get the other variables of the server.
 */
const INHERITED =
  /^(PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH|NODE_V8_COVERAGE|(LC|CUDA|NVIDIA|ORT|OMP|KMP|MKL)_\w+)$/

/** Settings that differ between workers. */
export interface OwnWorkerOptions {
  readonly socketPath: string
  readonly temporaryFolder: string
  readonly modelName: string
  /** Absolute path of the model's folder, or of a single `.onnx` file. */
  readonly modelPath: string
  readonly handler: string
  /** JSON for `ONNXD_WORKER_OPTIONS`. */
  readonly options: string
  readonly threads: number
  /** Limit of the JavaScript heap, MiB. */
  readonly heapMib: number
  readonly allowTelemetry: boolean
  /** True when large bodies come through the file at descriptor 3. */
  readonly hasBodyFile: boolean
}

/** Command, arguments and environment of one worker process. */
export function ownWorker(
  options: OwnWorkerOptions,
  environment: Readonly<Record<string, string>>,
): ChildSpec {
  const isFile = isNetworkFile(options.modelPath)
  return {
    command: process.execPath,
    args: [
      `--max-old-space-size=${options.heapMib}`,
      ENTRY,
      '--sock-type',
      'unix',
      '--sock-name',
      options.socketPath,
      '--handler',
      options.handler,
      '--model-path',
      options.modelPath,
      '--model-name',
      options.modelName,
      '--preload-model',
      'false',
      '--tmp-dir',
      options.temporaryFolder,
    ],
    workingDirectory: isFile ? path.dirname(options.modelPath) : options.modelPath,
    environment: {
      OMP_NUM_THREADS: String(options.threads),
      ...environment,
      ORT_DISABLE_TELEMETRY: options.allowTelemetry ? '0' : '1',
      ONNXD_WORKER_ONCE: '1',
      ...(options.hasBodyFile ? { ONNXD_BODY_FILE: '3' } : {}),
      ONNXD_PARENT_PID: String(process.pid),
      ONNXD_WORKER_OPTIONS: options.options,
    },
  }
}

/**
 * Selects the part of the server's environment that workers get: known harmless variables and those
 * that the operator lists.
 */
export function workerEnvironment(
  environment: NodeJS.ProcessEnv,
  alsoAllowed: readonly string[],
): Record<string, string> {
  const allowed: Record<string, string> = {}
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && (INHERITED.test(name) || alsoAllowed.includes(name)))
      allowed[name] = value
  }
  return allowed
}
