import { readFileSync } from 'node:fs'
import type { WorkerReply } from '../wire/messages.ts'

/**
 * Returns the id of the process that holds the model, as the load reply names it: an MMS worker
 * forks a process for each connection. The id is accepted only if `/proc` shows that the process
 * belongs to the worker's process group. Returns `undefined` when the id is not accepted or is that
 * of the worker itself.
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
