import { execFile } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const execute = promisify(execFile)

export interface BareResult {
  /** Runs per second. */
  readonly rate: number
  /** Median time of a run in milliseconds. */
  readonly p50: number
  /** CPU time of a run in microseconds. */
  readonly cpuUs: number
}

/** Runs a model in a loop without a server. The benchmarks compare the server with this rate. */
export async function bareLoop(file: string, seconds: number, batch = 1): Promise<BareResult> {
  return alone('bare.js', [file, String(batch), String(seconds)])
}

/** Sends a body to another process that runs a model for it, one round trip after the other. */
export async function bareWorker(
  file: string,
  bodyBytes: number,
  seconds: number,
): Promise<BareResult> {
  return alone('bare-worker.js', [file, String(bodyBytes), String(seconds)])
}

/** Parses the JSON request in `file` in a loop without a server. */
export async function bareParse(file: string, seconds: number): Promise<BareResult> {
  return alone('bare-parse.js', [file, String(seconds)])
}

/** Runs a program of this folder in a separate process and returns the result that it prints. */
export async function alone(program: string, args: readonly string[]): Promise<BareResult> {
  const file = fileURLToPath(new URL(program, import.meta.url))
  const { stdout } = await execute(process.execPath, [file, ...args])
  const result: BareResult = JSON.parse(stdout)
  return result
}
