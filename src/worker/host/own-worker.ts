/**
 * Builds the command that starts onnxd's own worker: the arguments of an MMS worker and a small
 * environment. Nothing in it depends on the model, so a process can be started before its model is
 * known.
 */
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ChildSpec } from './child-process/child.ts'

/**
 * Entry file of the worker process.
 */
const ENTRY = entry('main')
/** Entry file of the process that builds and checks entries of the weight cache. */
const WEIGHTS_ENTRY = entry('weights-main')

/**
 * Environment variables that workers inherit. Workers do not get the other variables of the server.
 */
const INHERITED =
  /^(PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH|NODE_V8_COVERAGE|(LC|CUDA|NVIDIA|ORT|OMP|KMP|MKL)_\w+)$/

/** Name of the file in a worker's folder that has the options of its model, as JSON. */
export const OPTIONS_FILE = 'options.json'

/**
 * Settings of glibc's allocator: blocks from 4 MiB on go back to the system when they are freed.
 * By default that limit rises to 32 MiB once such a block was freed. Copies of weights that
 * onnxruntime needs only to load a model would then stay in memory: 64 MB for a model of 90 MB.
 */
const ALLOCATOR = { MALLOC_MMAP_THRESHOLD_: '4194304', MALLOC_TRIM_THRESHOLD_: '8388608' }

/** Settings that differ between workers, and settings of the server. */
export interface OwnWorkerOptions {
  /** The worker's own folder. */
  readonly folder: string
  readonly socketPath: string
  /** True if the code of the built-in handlers is imported before the worker listens. */
  readonly isBuiltIn: boolean
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
  return {
    command: process.execPath,
    args: [
      `--max-old-space-size=${options.heapMib}`,
      ENTRY,
      '--sock-type',
      'unix',
      '--sock-name',
      options.socketPath,
      ...(options.isBuiltIn ? ['--handler', 'onnx'] : []),
      '--preload-model',
      'false',
      '--tmp-dir',
      options.folder,
    ],
    // The worker enters the folder of its model at the load.
    workingDirectory: options.folder,
    environment: {
      ...ALLOCATOR,
      ...environment,
      ORT_DISABLE_TELEMETRY: options.allowTelemetry ? '0' : '1',
      ONNXD_WORKER_ONCE: '1',
      ...(options.hasBodyFile ? { ONNXD_BODY_FILE: '3' } : {}),
      ONNXD_PARENT_PID: String(process.pid),
      ONNXD_WORKER_OPTIONS_FILE: path.join(options.folder, OPTIONS_FILE),
    },
  }
}

/** What the process for one job of the weight cache needs. */
export interface WeightsProcessOptions {
  /** JSON of the job. */
  readonly job: string
  readonly threads: number
  /** Limit of the JavaScript heap, MiB. */
  readonly heapMib: number
  readonly allowTelemetry: boolean
}

/** Command, arguments and environment of a process that does one job of the weight cache. */
export function weightsProcess(
  { job, threads, heapMib, allowTelemetry }: WeightsProcessOptions,
  environment: Readonly<Record<string, string>>,
): ChildSpec {
  return {
    command: process.execPath,
    args: [`--max-old-space-size=${heapMib}`, WEIGHTS_ENTRY],
    workingDirectory: path.parse(WEIGHTS_ENTRY).root,
    environment: {
      OMP_NUM_THREADS: String(threads),
      ...ALLOCATOR,
      ...environment,
      ORT_DISABLE_TELEMETRY: allowTelemetry ? '0' : '1',
      ONNXD_PARENT_PID: String(process.pid),
      ONNXD_WEIGHTS_JOB: job,
    },
  }
}

/** The path relative to this file is the same in the sources and in the build. */
function entry(name: string): string {
  const extension = path.extname(fileURLToPath(import.meta.url))
  return fileURLToPath(new URL(`../process/${name}${extension}`, import.meta.url))
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
