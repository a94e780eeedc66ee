/**
 * Runs the command as a process that may not become ready, for tests of start, failure and exit.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { CLI, serverEnvironment, temporaryFolder, until } from './server.ts'
import type { Cleanup } from './server.ts'

const READY = /^onnxd is ready\.\nInference (\S+), management (\S+)$/m
const READY_MS = 60_000

/** Options of {@link startCommand}. */
export interface CommandOptions {
  /**
   * Prefix of the command line. It must replace itself with the program, as `setpriv … --` does.
   */
  readonly prefix?: readonly string[]
  readonly environment?: NodeJS.ProcessEnv
  /** Folder for its temporary files; a new one if absent. */
  readonly temporary?: string
  readonly stdio?: StdioOptions
}

/** How a process exited, and how many milliseconds after its start or the last signals. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly ms: number
}

/** A started command. */
export interface Command {
  readonly pid: number
  readonly child: ChildProcess
  /** Folder that contains only its temporary files. */
  readonly temporary: string
  /** Resolves when the process has exited and its output is complete. */
  readonly ended: Promise<End>
  output(): string
  errors(): string
  /** Waits until it prints that it is ready. Fails if it exits before. */
  ready(): Promise<{ inference: string; management: string }>
  /** Waits for a line on stderr. Fails if the process exits before. */
  logged(pattern: RegExp): Promise<RegExpExecArray>
  /** Sends signals and waits for the exit. */
  end(...signals: NodeJS.Signals[]): Promise<End>
}

/**
 * Starts `onnxd serve` on free ports. Arguments that set ports override this. The process is killed
 * after the test.
 */
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
    env: { ...serverEnvironment(args), ...environment, TMPDIR: temporary },
  })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  let errors = ''
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  let since = performance.now()
  const ended = once(child, 'exit').then(async ([code, signal]): Promise<End> => {
    const ms = performance.now() - since
    // The last output may not have arrived yet.
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
