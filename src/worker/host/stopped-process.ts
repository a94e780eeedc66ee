import { readFileSync } from 'node:fs'

/** A look costs some 20 microseconds. */
const LOOK_MS = 2000
/** Stopped by a signal. A debugger's stop is `t`, and whoever debugs a worker wants it alive. */
const STOPPED = 'T'

/**
 * Calls `onStopped` when a process is stopped (SIGSTOP) at two looks in a row, so after 2 to 4 seconds: neither its
 * exit nor its socket would ever tell. Returns a function that ends the looks.
 * @param pidNow The process to look at; it may become another one.
 */
export function watchForStop(
  pidNow: () => number | undefined,
  onStopped: () => void,
  lookMs = LOOK_MS,
): () => void {
  let wasStopped = false
  const timer = setInterval(() => {
    const isStopped = stateOf(pidNow()) === STOPPED
    if (isStopped && wasStopped) onStopped()
    wasStopped = isStopped
  }, lookMs).unref()
  return () => clearInterval(timer)
}

/** The letter that the system has for the state; `undefined` without such a process or without `/proc`. */
function stateOf(pid: number | undefined): string | undefined {
  if (pid === undefined) return undefined
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text[text.lastIndexOf(')') + 2]
  } catch {
    return undefined
  }
}
