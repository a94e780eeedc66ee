/** Runs the process that finds, checks or builds an entry, and reads its result. */
import { constants, setPriority } from 'node:os'
import { RESULT_MARK } from '../../contract/shared-weights.ts'
import type { WeightsResult } from '../../contract/shared-weights.ts'
import { Child } from '../../worker/host/child-process/child.ts'
import type { ChildSpec } from '../../worker/host/child-process/child.ts'

/** How long the process may run, and how much it may disturb others. */
export interface ProcessLimits {
  readonly timeoutMs: number
  /** Kills the process. */
  readonly stop: AbortSignal
  /** False if no request waits: then others come first. */
  readonly isUrgent: boolean
}

/** Resolves with the result when the process has ended. Never rejects. */
export async function runWeightsProcess(
  spec: ChildSpec,
  { timeoutMs, stop: signal, isUrgent }: ProcessLimits,
): Promise<WeightsResult> {
  let result: WeightsResult | undefined
  let isLate = false
  const child = new Child(spec, (line) => {
    if (line.startsWith(RESULT_MARK)) result = parse(line.slice(RESULT_MARK.length))
  })
  if (!isUrgent && child.pid !== undefined) lowerPriority(child.pid)
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

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
  } catch {
    // The process has ended, or belongs to another user.
  }
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
