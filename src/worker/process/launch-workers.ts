/** The server process of MMS: it listens for one model and hands each connection to a process of its own. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { oneLine } from './one-line.ts'
import { addressText } from './start/listener.ts'
import { announce, prepareProcess } from './start/run-worker.ts'
import type { Settings } from './start/settings.ts'

/** The entry of the process for one connection, beside this file in the sources and in the build alike. */
const ENTRY = fileURLToPath(
  new URL(
    `../process/connection-main${path.extname(fileURLToPath(import.meta.url))}`,
    import.meta.url,
  ),
)
const PARENT_CHECK_MS = 250

/** Runs until a signal, or the end of whoever started it. */
export async function launchWorkers(args: readonly string[], settings: Settings): Promise<void> {
  console.log(`model_service_worker started with args: ${oneLine(args.join(' '))}`)
  const files = prepareProcess()
  const workers = new Set<ChildProcess>()
  // A model at work does not see the end of its connection.
  process.on('exit', () => {
    for (const worker of workers) killGroup(worker)
  })
  endWithParent()
  // Not a byte of a connection may be read here.
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
  server.on('connection', (socket: Socket) => {
    console.log(`Connection accepted: ${addressText(socket, settings.address)}.`)
    // A group of its own, so that what its model starts can be ended with it.
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
    // Nobody is left in the group.
  }
}

/** The original outlives its front-end, and nobody would end it then. */
function endWithParent(): void {
  const parent = process.ppid
  setInterval(() => {
    if (process.ppid !== parent) process.exit(0)
  }, PARENT_CHECK_MS)
}
