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
  /** Keep the stdin of the process open: its end tells the process that this one is gone. */
  readonly holdsStdin?: boolean
  /** Descriptor that the process gets as its number 3. */
  readonly descriptor?: number | undefined
  /** Makes what the process needs. What it throws is why the process could not be started. */
  readonly prepare?: () => void
}

/** How a process ended. */
export interface ExitCause {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** For example `exited with code 1`, `was killed by SIGSEGV`, `ran out of memory`. */
  readonly text: string
  /** This machine has no descriptor, process, memory or disk left: no fault of the model. */
  readonly isShortage?: boolean
}

/** What the system says when it has nothing left to give. */
const SHORTAGES: ReadonlySet<unknown> = new Set([
  'EMFILE',
  'ENFILE',
  'EAGAIN',
  'ENOMEM',
  'ENOSPC',
  'EDQUOT',
])
/** Lines of stderr kept to explain a death. */
const KEPT_LINES = 20
/**
 * What V8 and native code write to stderr before they abort. A native stack of any length may follow.
 * onnxruntime's arena fails on its own lists after a failed allocation, and names only itself.
 */
const MEMORY_IS_FULL = /heap out of memory|std::bad_alloc|\bbfc_arena\.cc:/
/** How long the output of a process that has ended may still come; a grandchild may hold it open for ever. */
const OUTPUT_GRACE_MS = 500

/** A worker process with its own process group, so that ending it ends what it started as well. */
export class Child {
  readonly pid: number | undefined
  /** Settles once, when the process has ended or could not be started. Never rejects. */
  readonly exited: Promise<ExitCause>
  readonly #process: ChildProcess | undefined
  readonly #lastErrors: string[] = []
  #hasExited = false
  #isMemoryFull = false

  constructor(spec: ChildSpec, onLine: (line: string, stream: 'stdout' | 'stderr') => void) {
    let child: ChildProcess
    try {
      spec.prepare?.()
      child = spawn(spec.command, [...spec.args], {
        cwd: spec.workingDirectory,
        env: spec.environment,
        detached: true,
        stdio: [
          spec.holdsStdin === true ? 'pipe' : 'ignore',
          'pipe',
          'pipe',
          ...(spec.descriptor === undefined ? [] : [spec.descriptor]),
        ],
      })
    } catch (error) {
      // Most reasons come as an event, a few (no memory, an argument list too long) are thrown.
      this.exited = Promise.resolve(notStarted(error))
      return
    }
    this.#process = child
    this.pid = child.pid
    this.exited = new Promise((resolve) => {
      // 'exit', not 'close': a grandchild that holds stdout open would delay 'close' for ever.
      child.once('exit', (code, signal) => {
        this.#hasExited = true
        // Whatever the process started may outlive it; the group goes with it.
        this.#killGroup()
        setTimeout(() => {
          child.stdout?.destroy()
          child.stderr?.destroy()
        }, OUTPUT_GRACE_MS).unref()
        // stderr is read a moment longer, because it usually says why.
        setImmediate(() => resolve({ code, signal, text: this.#explain(code, signal) }))
      })
      // Also emitted when a signal cannot be sent, so it may come more than once.
      child.on('error', (error) => {
        if (child.pid === undefined) resolve(notStarted(error))
      })
    })
    // A process that closes its stdin has no need of it.
    child.stdin?.on('error', () => {})
    if (child.stdout) readLines(child.stdout, (line) => onLine(line, 'stdout'))
    if (child.stderr) {
      readLines(child.stderr, (line) => {
        this.#isMemoryFull ||= MEMORY_IS_FULL.test(line)
        if (this.#lastErrors.push(line) > KEPT_LINES) this.#lastErrors.shift()
        onLine(line, 'stderr')
      })
    }
  }

  /** The last lines the process wrote to stderr, oldest first. */
  get lastErrors(): readonly string[] {
    return this.#lastErrors
  }

  get hasExited(): boolean {
    return this.#hasExited
  }

  /** Asks the process to end by SIGTERM. */
  terminate(): void {
    if (!this.#hasExited) this.#process?.kill('SIGTERM')
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

  /** Full memory ends in an abort; a process that ends otherwise may have printed the words for any reason. */
  #explain(code: number | null, signal: NodeJS.Signals | null): string {
    if (signal === null) return `exited with code ${code ?? 'unknown'}`
    const isAbort = signal === 'SIGABRT' || signal === 'SIGTRAP' || signal === 'SIGILL'
    return isAbort && this.#isMemoryFull ? 'ran out of memory' : `was killed by ${signal}`
  }
}

/** Whether something failed for lack of what a moment later may be there. */
export function isShortage(error: unknown): boolean {
  return error instanceof Error && 'code' in error && SHORTAGES.has(error.code)
}

/** Without the message, which names the path of the command. */
function notStarted(error: unknown): ExitCause {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
  const text = `could not be started (${code})`
  return { code: null, signal: null, text, isShortage: isShortage(error) }
}
