/** Reports how workers are really confined: reads it from the kernel, not from the settings. */
import { readFileSync, readlinkSync } from 'node:fs'
import type { Logger } from 'pino'
import type { Worker } from './worker.ts'

/** The restrictions of a running process. */
export interface Isolation {
  readonly uid: number
  readonly noNewPrivileges: boolean
  readonly ownNetwork: boolean
  readonly coreDumps: boolean
  readonly openFiles: string
}

/**
 * Reads the isolation of a process from `/proc`. Returns `undefined` when the system has no `/proc`
 * or the process has ended.
 */
export function isolationOf(pid: number): Isolation | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const limits = readFileSync(`/proc/${pid}/limits`, 'latin1')
    const limit = (name: string): string =>
      new RegExp(`^${name} +(\\S+)`, 'm').exec(limits)?.[1] ?? 'unknown'
    const network = (of: string | number): string => readlinkSync(`/proc/${of}/ns/net`)
    return {
      uid: Number(/^Uid:\t(\d+)/m.exec(status)?.[1]),
      noNewPrivileges: /^NoNewPrivs:\t1/m.test(status),
      ownNetwork: network(pid) !== network('self'),
      coreDumps: limit('Max core file size') !== '0',
      openFiles: limit('Max open files'),
    }
  } catch {
    return undefined
  }
}

/** Writes one log line, about the first worker that becomes ready. */
export class IsolationReport {
  readonly #log: Logger
  #isDone = false

  constructor(log: Logger) {
    this.#log = log
  }

  /** Registers a worker that was started; the worker is examined when it is ready. */
  note(worker: Pick<Worker, 'pid' | 'ready'>): void {
    if (this.#isDone) return
    worker.ready.then(
      () => this.#tell(worker.pid),
      () => {},
    )
  }

  #tell(pid: number | undefined): void {
    const isolation = pid === undefined ? undefined : isolationOf(pid)
    if (this.#isDone || isolation === undefined) return
    this.#isDone = true
    this.#log.info(isolation, 'isolation of workers')
  }
}
