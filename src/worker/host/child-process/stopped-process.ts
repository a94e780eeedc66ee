import { readFileSync } from 'node:fs'

/** Milliseconds between two checks. A check takes about 20 microseconds. */
const LOOK_MS = 2000
/**
 * State of a process that a signal has stopped. A debugger sets `t` instead; a worker in a debugger
 * must not be killed.
 */
const STOPPED = 'T'

/**
 * Calls `onStopped` when two checks in a row find a process stopped (SIGSTOP), so after 2 to 4
 * seconds. A stopped process neither exits nor closes its socket. Returns a function that ends the
 * checks.
 * @param pidNow Returns the process to check; it may return another one later.
 */
export function watchForStop(
  pidNow: () => number | undefined,
  onStopped: () => void,
  lookMs = LOOK_MS,
): () => void {
  let wasStopped = false
  const timer = setInterval(() => {
    const isStoppedNow = isStopped(pidNow())
    if (isStoppedNow && wasStopped) onStopped()
    wasStopped = isStoppedNow
  }, lookMs).unref()
  return () => clearInterval(timer)
}

/** Whether a signal has stopped a process. */
export function isStopped(pid: number | undefined): boolean {
  return stateOf(pid) === STOPPED
}

/**
 * Returns the state letter of a process; `undefined` when the process or `/proc` does not exist.
 */
function stateOf(pid: number | undefined): string | undefined {
  if (pid === undefined) return undefined
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text[text.lastIndexOf(')') + 2]
  } catch {
    return undefined
  }
}
