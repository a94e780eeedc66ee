/** How the front-end starts onnxd's own worker: the original's command line, and a small environment. */
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { isNetworkFile } from '../../model-folder/paths.ts'
import type { ChildSpec } from './child.ts'

/** The line by which MMS workers say on stdout that they listen. */
export const READY_LINE = 'MMS worker started.'

/** The entry of the worker process, beside this file in the sources and in the build alike. */
const ENTRY = fileURLToPath(
  new URL(`../process/main${path.extname(fileURLToPath(import.meta.url))}`, import.meta.url),
)

/** Variables that workers inherit; everything else of the server's environment stays with the server. */
const INHERITED =
  /^(PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH|NODE_V8_COVERAGE|(LC|CUDA|NVIDIA|ORT|OMP|KMP|MKL)_\w+)$/

/** What differs from one worker to the next. */
export interface OwnWorkerOptions {
  readonly socketPath: string
  readonly temporaryFolder: string
  readonly modelName: string
  /** Absolute path: folder or bare `.onnx` file. */
  readonly modelPath: string
  readonly handler: string
  /** JSON for `ONNXD_WORKER_OPTIONS`. */
  readonly options: string
  readonly threads: number
  /** Limit of the JavaScript heap. */
  readonly heapMib: number
  readonly allowTelemetry: boolean
  /** Large bodies come in the file behind descriptor 3. */
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

/** The part of the server's environment that workers get: harmless names, and those the operator lists. */
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
