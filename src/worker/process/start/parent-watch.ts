import { Worker } from 'node:worker_threads'
import { killGroupMembers } from './process-group.ts'

/**
 * Runs on a thread of its own, because a model may hold the main one for ever, in native code or in
 * a loop: then neither the end of the socket nor a signal handler would ever be seen.
 */
const WATCH = `
const { workerData } = require('node:worker_threads')
const cell = new Int32Array(new SharedArrayBuffer(4))
while (process.ppid === workerData) Atomics.wait(cell, 0, 0, 250)
try {
  process.kill(-process.pid, 'SIGKILL')
} catch {
  process.kill(process.pid, 'SIGKILL')
}
`

/**
 * Kills this process within a fraction of a second of the death of its parent, and all others of the group that it leads: a
 * parent that was killed cannot do that any more.
 */
export function watchParent(parentPid: number): void {
  process.on('exit', () => {
    if (process.ppid !== parentPid) killGroupMembers()
  })
  const watcher = new Worker(WATCH, {
    eval: true,
    workerData: parentPid,
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 },
  })
  watcher.unref()
}
