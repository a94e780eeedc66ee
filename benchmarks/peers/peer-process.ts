/** Runs a peer as a separate process group, so that its child processes are stopped with it. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { PeerError } from './peer.ts'
import type { Launch, Peer, Site } from './peer.ts'

const PYTHON_FILES = path.resolve('benchmarks', 'peers')
const STOP_TIMEOUT_MS = 5000
const LOG_TAIL = 2000

export interface PeerProcess {
  readonly urls: Launch['urls']
  /** @throws PeerError with the end of its log if it has exited. */
  assertRunning(): void
  stop(): Promise<void>
}

/** Starts a peer. It may need some time before it responds. */
export async function startPeer(
  peer: Peer,
  { bin, model }: Pick<Site, 'bin' | 'model'>,
): Promise<PeerProcess> {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-peer-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  try {
    const { command, args, env, urls } = await peer.prepare({ bin, folder, model })
    const logFile = path.join(folder, 'output.log')
    const log = openSync(logFile, 'w')
    const child = spawn(command, args, {
      cwd: folder,
      detached: true,
      env: {
        ...process.env,
        PATH: `${bin}${path.delimiter}${process.env['PATH'] ?? ''}`,
        PYTHONPATH: PYTHON_FILES,
        PYTHONDONTWRITEBYTECODE: '1',
        PEER_MODEL: model,
        OMP_NUM_THREADS: '1',
        // MMS and TorchServe keep sockets and a file with their process id in these folders.
        TMPDIR: folder,
        TEMP: folder,
        ...env,
      },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    await once(child, 'spawn')
    const release = atExit(() => {
      signalGroup(child, 'SIGKILL')
      remove()
    })
    return {
      urls,
      assertRunning: () => {
        if (child.exitCode === null && child.signalCode === null) return
        throw new PeerError(
          `${peer.name} has ended: …${readFileSync(logFile, 'utf8').slice(-LOG_TAIL)}`,
        )
      },
      stop: async () => {
        await endGroup(child)
        release()
        remove()
      },
    }
  } catch (error) {
    remove()
    throw error
  }
}

/** Kills the group at exit, because the terminal sends no signals to a separate group. */
function atExit(cleanUp: () => void): () => void {
  process.once('exit', cleanUp)
  return () => void process.off('exit', cleanUp)
}

/** Sends SIGTERM to the first process, then kills the rest of the group. */
async function endGroup(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await Promise.race([exited, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })])
  }
  signalGroup(child, 'SIGKILL')
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // All processes of the group have exited.
  }
}
