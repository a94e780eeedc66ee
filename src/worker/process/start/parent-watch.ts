import { Worker } from 'node:worker_threads'
import { killGroupMembers } from './process-group.ts'

/**
 * Runs on its own thread, because a model may block the main thread forever, in native code or in a
 * loop. The main thread would then notice neither the end of the socket nor a signal.
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
 * Without a code range of its own, V8 13 and later (Node 24) reserve 512 MiB for the thread, which
 * count against the memory limit of the worker although nothing uses them.
 */
const LIMITS = {
  maxOldGenerationSizeMb: 8,
  maxYoungGenerationSizeMb: 1,
  stackSizeMb: 1,
  codeRangeSizeMb: 8,
}

/**
 * Kills this process, and the process group that it leads, when its parent dies. The thread checks
 * every 250 ms. A parent that was killed cannot do this any more.
 * @returns A promise that resolves when the thread runs. Until then the working directory must
 * exist: Node cannot start a thread in a folder that was removed, and would end the process.
 */
export function watchParent(parentPid: number): Promise<void> {
  process.on('exit', () => {
    if (process.ppid !== parentPid) killGroupMembers()
  })
  const watcher = new Worker(WATCH, {
    eval: true,
    workerData: parentPid,
    env: {},
    execArgv: [],
    resourceLimits: LIMITS,
  })
  return new Promise((resolve) => {
    watcher.once('online', () => {
      watcher.unref()
      resolve()
    })
  })
}
