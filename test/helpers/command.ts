/** The command as a process that need not become ready: tests of how it starts, fails and ends. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { CLI, temporaryFolder, until } from './server.ts'
import type { Cleanup } from './server.ts'

const READY = /^onnxd is ready\. Inference (\S+), management (\S+)$/m
const READY_MS = 60_000
/** The command would say on stderr that these are no settings of its own. */
const OF_THE_RUNNER = { ONNXD_FAULTS: undefined, ONNXD_FIGURES: undefined }

/** How a command is started. */
export interface CommandOptions {
  /** Comes before the program and must replace itself with it, as `setpriv … --` does. */
  readonly prefix?: readonly string[]
  readonly environment?: NodeJS.ProcessEnv
  /** Folder for its temporary files; a new one when absent. */
  readonly temporary?: string
  readonly stdio?: StdioOptions
}

/** How a process ended, and how long after the signal or the start. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly ms: number
}

/** A started command. */
export interface Command {
  readonly pid: number
  readonly child: ChildProcess
  /** Folder for its temporary files and nothing else. */
  readonly temporary: string
  /** Resolves when the process has ended and its output is complete. */
  readonly ended: Promise<End>
  output(): string
  errors(): string
  /** Waits until it says that it is ready. Fails when it ends before. */
  ready(): Promise<{ inference: string; management: string }>
  /** Waits for a line on stderr. Fails when the process ends before. */
  logged(pattern: RegExp): Promise<RegExpExecArray>
  /** Sends signals and waits for the end. */
  end(...signals: NodeJS.Signals[]): Promise<End>
}

/** Starts `onnxd serve` on free ports; arguments that name ports win. It is killed after the test. */
export function startCommand(
  t: Cleanup,
  args: readonly string[],
  { prefix = [], environment = {}, temporary: given, stdio }: CommandOptions = {},
): Command {
  const temporary = given ?? path.join(temporaryFolder(t), 't')
  mkdirSync(temporary, { recursive: true })
  const ports = ['--port', '0', '--management-port', '0']
  const [program = '', ...rest] = [...prefix, process.execPath, CLI, 'serve', ...ports, ...args]
  const child = spawn(program, rest, {
    stdio: stdio ?? ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...OF_THE_RUNNER, ...environment, TMPDIR: temporary },
  })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  let errors = ''
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  let since = performance.now()
  const ended = once(child, 'exit').then(async ([code, signal]): Promise<End> => {
    const ms = performance.now() - since
    // What it wrote last may still be on its way.
    if (child.stderr?.readableEnded === false) await once(child.stderr, 'end')
    return { code, signal, ms }
  })
  const found = (pattern: RegExp, text: () => string): Promise<RegExpExecArray> =>
    until(() => {
      const isOver = child.exitCode !== null || child.signalCode !== null
      const match = pattern.exec(text())
      assert.ok(match !== null || !isOver, `it has ended: ${errors}`)
      return match ?? false
    }, READY_MS)
  return {
    pid: child.pid ?? 0,
    child,
    temporary,
    ended,
    output: () => output,
    errors: () => errors,
    ready: async () => {
      const [, inference = '', management = ''] = await found(READY, () => output)
      return { inference, management }
    },
    logged: (pattern) => found(pattern, () => errors),
    end: async (...signals) => {
      since = performance.now()
      for (const signal of signals) child.kill(signal)
      return ended
    },
  }
}
