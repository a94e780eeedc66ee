import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { Duplex } from 'node:stream'
import { readLines } from './line-reader.ts'

/** How to start a worker process. */
export interface ChildSpec {
  readonly command: string
  readonly args: readonly string[]
  readonly workingDirectory: string
  /** The whole environment of the process; it inherits no other variable. */
  readonly environment: Readonly<Record<string, string>>
  /**
   * Keep the stdin of the process open until this process ends; the end of stdin tells the child
   * that its parent is gone.
   */
  readonly holdsStdin?: boolean
  /** Descriptor that the process gets as descriptor 3. */
  readonly descriptor?: number | undefined
  /** Give the process, as descriptor 3, one end of a socket; the other end is `Child.channel`. */
  readonly hasChannel?: boolean
  /**
   * Creates what the process needs, before it is started. An error that it throws becomes the
   * reason why the process could not be started.
   */
  readonly prepare?: () => void
}

/** How a process ended. */
export interface ExitCause {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** For example `exited with code 1`, `was killed by SIGSEGV`, `ran out of memory`. */
  readonly text: string
  /**
   * True when the machine ran out of descriptors, processes, memory or disk: the model is not the
   * cause.
   */
  readonly isShortage?: boolean
  /** True when weights that the process had mapped were changed on the disk. */
  readonly hasChangedWeights?: boolean
}

/** System error codes for a resource that is used up. */
const SHORTAGES: ReadonlySet<unknown> = new Set([
  'EMFILE',
  'ENFILE',
  'EAGAIN',
  'ENOMEM',
  'ENOSPC',
  'EDQUOT',
])
/** Number of stderr lines that are kept to explain how the process ended. */
const KEPT_LINES = 20
/**
 * Texts that V8 and native code write to stderr before they abort. A native stack of any length may
 * follow. onnxruntime's arena fails in its own lists after a failed allocation; then only the name
 * of its file shows the cause.
 */
const MEMORY_IS_FULL = /heap out of memory|std::bad_alloc|\bbfc_arena\.cc:/
/**
 * Milliseconds to read output after the process has ended. A grandchild may keep the pipe open
 * forever.
 */
const OUTPUT_GRACE_MS = 500

/**
 * A worker process that leads its own process group: killing the group also kills what it started.
 */
export class Child {
  readonly pid: number | undefined
  /** The front-end's end of the channel; absent if the process has none or was not started. */
  readonly channel: Duplex | undefined
  /** Resolves once, when the process has ended or could not be started. Never rejects. */
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
          ...(spec.hasChannel === true ? (['pipe'] as const) : []),
        ],
      })
    } catch (error) {
      // `spawn` reports most errors as an event, but throws a few (no memory, argument list too
      // long).
      this.exited = Promise.resolve(notStarted(error))
      return
    }
    this.#process = child
    this.pid = child.pid
    const [, , , channel] = child.stdio
    this.channel = channel instanceof Duplex ? channel : undefined
    this.exited = new Promise((resolve) => {
      // 'exit', not 'close': a grandchild that holds stdout open would delay 'close' forever.
      child.once('exit', (code, signal) => {
        this.#hasExited = true
        // Processes that the child started may outlive it, so the whole group is killed.
        this.#killGroup()
        setTimeout(() => {
          child.stdout?.destroy()
          child.stderr?.destroy()
        }, OUTPUT_GRACE_MS).unref()
        // stderr is read for one more turn, because it usually explains the end.
        setImmediate(() => resolve({ code, signal, text: this.#explain(code, signal) }))
      })
      // This event may come more than once: it is also emitted when a signal cannot be sent.
      child.on('error', (error) => {
        if (child.pid === undefined) resolve(notStarted(error))
      })
    })
    // A process may close its stdin; the write error that follows is harmless.
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

  /** The last 20 lines that the process wrote to stderr, oldest first. */
  get lastErrors(): readonly string[] {
    return this.#lastErrors
  }

  get hasExited(): boolean {
    return this.#hasExited
  }

  /** Sends SIGTERM to the process. */
  terminate(): void {
    if (!this.#hasExited) this.#process?.kill('SIGTERM')
  }

  /** Kills the whole process group with SIGKILL. Safe to call again. */
  kill(): void {
    if (!this.#hasExited) this.#killGroup()
  }

  #killGroup(): void {
    if (this.pid === undefined) return
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // ESRCH: the group has no process left.
    }
  }

  /**
   * Full memory ends in an abort. A process that ends in another way may have printed those texts
   * for any other reason.
   */
  #explain(code: number | null, signal: NodeJS.Signals | null): string {
    if (signal === null) return `exited with code ${code ?? 'unknown'}`
    const isAbort = signal === 'SIGABRT' || signal === 'SIGTRAP' || signal === 'SIGILL'
    return isAbort && this.#isMemoryFull ? 'ran out of memory' : `was killed by ${signal}`
  }
}

/** Whether an error means that a system resource is used up. A later attempt may succeed. */
export function isShortage(error: unknown): boolean {
  return error instanceof Error && 'code' in error && SHORTAGES.has(error.code)
}

/** The text has only the error code, because the message contains the path of the command. */
function notStarted(error: unknown): ExitCause {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
  const text = `could not be started (${code})`
  return { code: null, signal: null, text, isShortage: isShortage(error) }
}
