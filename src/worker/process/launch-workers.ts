/**
 * The equivalent of MMS's server process: it listens for one model and starts a process for each
 * connection.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ACCEPTED_PREFIX } from '../../contract/worker-lines.ts'
import { joinLines } from './join-lines.ts'
import { addressText } from './start/listener.ts'
import { announce, prepareProcess } from './start/run-worker.ts'
import type { Settings } from './start/settings.ts'

/**
 * Entry file of the process for one connection. Its path relative to this file is the same in the
 * sources and in the build.
 */
const ENTRY = fileURLToPath(
  new URL(
    `../process/connection-main${path.extname(fileURLToPath(import.meta.url))}`,
    import.meta.url,
  ),
)
const PARENT_CHECK_MS = 250

/** Runs until a signal arrives or the parent process ends. */
export async function launchWorkers(args: readonly string[], settings: Settings): Promise<void> {
  console.log(`model_service_worker started with args: ${joinLines(args.join(' '))}`)
  const files = prepareProcess()
  const workers = new Set<ChildProcess>()
  // Kills the workers: a worker whose model is running does not notice the end of its connection.
  process.on('exit', () => {
    for (const worker of workers) killGroup(worker)
  })
  endWithParent()
  // Paused: this process must not read a byte of a connection that it passes on.
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
  server.on('connection', (socket: Socket) => {
    console.log(`${ACCEPTED_PREFIX}${addressText(socket, settings.address)}.`)
    // Detached: the worker leads its own process group, so what its model starts can be killed with
    // it.
    const worker = fork(ENTRY, args, { detached: true })
    workers.add(worker)
    worker.once('exit', () => {
      workers.delete(worker)
      killGroup(worker)
    })
    worker.once('error', () => socket.destroy())
    worker.send('connection', socket)
  })
  await announce(server, settings, files)
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // ESRCH: the group has no process left.
  }
}

/**
 * Ends this process when its parent has ended. MMS's own worker keeps running then, and nothing
 * ends it.
 */
function endWithParent(): void {
  const parent = process.ppid
  setInterval(() => {
    if (process.ppid !== parent) process.exit(0)
  }, PARENT_CHECK_MS)
}
