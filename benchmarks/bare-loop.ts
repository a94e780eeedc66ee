import { execFile } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const PROGRAM = fileURLToPath(new URL('./bare.js', import.meta.url))

export interface BareResult {
  /** Runs a second. */
  readonly rate: number
  /** Median of a run, milliseconds. */
  readonly p50: number
}

/** Runs a model in a loop without any server: what the server's figures are shares of. */
export async function bareLoop(file: string, seconds: number, batch = 1): Promise<BareResult> {
  const { stdout } = await execute(process.execPath, [
    PROGRAM,
    file,
    String(batch),
    String(seconds),
  ])
  const { rate, p50 }: { rate: number; p50: number } = JSON.parse(stdout)
  return { rate, p50 }
}
