import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { readLines } from './line-reader.ts'

/** How to start a worker process. */
export interface ChildSpec {
  readonly command: string
  readonly args: readonly string[]
  readonly workingDirectory: string
  /** The whole environment of the process; nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>
}

/** How a process ended. */
export interface ExitCause {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** For example `exited with code 1`, `killed by SIGSEGV`, `ran out of memory`. */
  readonly text: string
}

/** Lines of stderr kept to explain a death. */
const KEPT_LINES = 20

/** A worker process with its own process group, so that ending it ends what it started as well. */
export class Child {
  readonly pid: number | undefined
  /** Settles once, when the process has ended or could not be started. Never rejects. */
  readonly exited: Promise<ExitCause>
  readonly #process: ChildProcess
  readonly #lastErrors: string[] = []
  #hasExited = false

  constructor(spec: ChildSpec, onLine: (line: string, stream: 'stdout' | 'stderr') => void) {
    this.#process = spawn(spec.command, [...spec.args], {
      cwd: spec.workingDirectory,
      env: spec.environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.pid = this.#process.pid
    this.exited = new Promise((resolve) => {
      // 'exit', not 'close': a grandchild that holds stdout open would delay 'close' for ever.
      this.#process.once('exit', (code, signal) => {
        this.#hasExited = true
        // Whatever the process started may outlive it; the group goes with it.
        this.#killGroup()
        // stderr is read a moment longer, because it usually says why.
        setImmediate(() => resolve({ code, signal, text: this.#explain(code, signal) }))
      })
      this.#process.once('error', (error) => {
        if (this.pid === undefined) resolve({ code: null, signal: null, text: `could not be started (${error.message})` })
      })
    })
    const { stdout, stderr } = this.#process
    if (stdout) readLines(stdout, (line) => onLine(line, 'stdout'))
    if (stderr) {
      readLines(stderr, (line) => {
        if (this.#lastErrors.push(line) > KEPT_LINES) this.#lastErrors.shift()
        onLine(line, 'stderr')
      })
    }
  }

  /** The last lines the process wrote to stderr, oldest first. */
  get lastErrors(): readonly string[] {
    return this.#lastErrors
  }

  /** Asks the process to end by SIGTERM. */
  terminate(): void {
    if (!this.#hasExited) this.#process.kill('SIGTERM')
  }

  /** Ends the whole process group at once. Safe to call again. */
  kill(): void {
    if (!this.#hasExited) this.#killGroup()
  }

  #killGroup(): void {
    if (this.pid === undefined) return
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // ESRCH: nobody is left in the group.
    }
  }

  #explain(code: number | null, signal: NodeJS.Signals | null): string {
    if (this.#lastErrors.some((line) => line.includes('heap out of memory'))) return 'ran out of memory'
    return signal === null ? `exited with code ${code ?? 'unknown'}` : `killed by ${signal}`
  }
}
