import { readFileSync } from 'node:fs'
import type { WorkerReply } from '../wire/messages.ts'

/**
 * The process that a load reply names as the one with the model: MMS's worker forks for each connection.
 * It counts only when it is in the process group of the worker, where it can be seen to be.
 */
export function modelProcess(
  { message }: WorkerReply,
  group: number | undefined,
): number | undefined {
  const [, digits] = /\[PID\]:(\d{1,10})$/.exec(message) ?? []
  if (digits === undefined || Number(digits) === group) return undefined
  try {
    const fields = readFileSync(`/proc/${digits}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')
    return Number(fields[2]) === group ? Number(digits) : undefined
  } catch {
    return undefined
  }
}
