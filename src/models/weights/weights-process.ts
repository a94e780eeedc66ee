/** Runs the process that finds, checks or builds an entry, and reads its result. */
import { RESULT_MARK } from '../../contract/shared-weights.ts'
import type { WeightsResult } from '../../contract/shared-weights.ts'
import { Child } from '../../worker/host/child-process/child.ts'
import type { ChildSpec } from '../../worker/host/child-process/child.ts'

/**
 * Resolves with the result when the process has ended. Never rejects.
 * @param signal Kills the process.
 */
export async function runWeightsProcess(
  spec: ChildSpec,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<WeightsResult> {
  let result: WeightsResult | undefined
  let isLate = false
  const child = new Child(spec, (line) => {
    if (line.startsWith(RESULT_MARK)) result = parse(line.slice(RESULT_MARK.length))
  })
  const kill = (): void => child.kill()
  const timer = setTimeout(() => {
    isLate = true
    kill()
  }, timeoutMs)
  signal.addEventListener('abort', kill, { once: true })
  if (signal.aborted) kill()
  const { text } = await child.exited
  clearTimeout(timer)
  signal.removeEventListener('abort', kill)
  if (isLate) return unfit(`The check took longer than ${timeoutMs / 1000} s.`)
  return result ?? unfit(`The process that checks the weights ${text}.`)
}

function unfit(reason: string): WeightsResult {
  return { outcome: 'unfit', reason }
}

function parse(text: string): WeightsResult | undefined {
  try {
    return JSON.parse(text) as WeightsResult
  } catch {
    return undefined
  }
}
