/** Runs a command of the table: reads its arguments, shows its progress, prints its result. */
import { existsSync } from 'node:fs'
import process from 'node:process'
import { didYouMean } from '../../closest-name.ts'
import { ConfigError, messageOf } from '../../errors.ts'
import { StatusLine } from '../terminal/status-line.ts'
import { printableJson, terminalOf } from '../terminal/terminal.ts'
import { readArguments } from './arguments.ts'
import type { CommandSpec } from './command-spec.ts'
import { COMMANDS, COMMAND_NAMES } from './commands.ts'
import { commandHelp, mainHelp } from './help.ts'

/** Exit code of shells for a program that Ctrl-C ended. */
const INTERRUPTED = 130
const MODEL = /(?:\.(?:onnx|mar|model|zip|tar\.gz|tgz)$)|[/=]/i

/** Returns what `onnxd help NAME` prints; the first page for no name. */
export function helpText(name: string | undefined): string {
  const columns = Math.min(terminalOf(process.stdout).columns, 100)
  if (name === undefined || name === 'help' || name === 'version') return mainHelp(columns)
  const spec = specOf(name)
  if (spec === undefined) throw unknownCommand(name)
  return commandHelp(spec, columns)
}

/**
 * Whether the arguments start with a model or a flag of `serve` instead of a command. A folder with
 * the name of a command must not hide it: many projects have a folder `types`.
 */
export function isServe(first: string): boolean {
  if (specOf(first) !== undefined) return false
  return first.startsWith('-') || MODEL.test(first) || existsSync(first)
}

/**
 * Runs a command and writes its result.
 * @throws ConfigError for arguments that are not known; Error with one sentence if it fails.
 */
export async function runCommand(
  name: string,
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const spec = specOf(name)
  if (spec === undefined) throw unknownCommand(name)
  const input = readArguments(name, spec, argv)
  if (input.flags.help === true) {
    process.stdout.on('error', () => {})
    return write(helpText(name))
  }
  const status = new StatusLine(process.stderr)
  const interrupt = watchInterrupt(status)
  process.stdout.on('error', interrupt.onClosedPipe)
  try {
    const run = await spec.load()
    const outcome = await run({
      ...input,
      environment,
      terminal: terminalOf(process.stdout),
      print: write,
      progress: (line) => status.show(line),
      signal: interrupt.signal,
    })
    status.clear()
    const isJson = input.flags.json === true
    await write(isJson ? jsonText(outcome.data) : outcome.text)
    process.exitCode = outcome.code ?? 0
  } catch (error) {
    status.clear()
    if (interrupt.isPipeClosed()) process.exitCode = 0
    else if (interrupt.signal.aborted) process.exitCode = INTERRUPTED
    else if (input.flags.json === true && !(error instanceof ConfigError)) {
      await write(jsonText({ error: messageOf(error) }))
      process.exitCode = 1
    } else throw error
  } finally {
    interrupt.end()
  }
}

function jsonText(data: unknown): string {
  return `${printableJson(JSON.stringify(data, null, 2))}\n`
}

function specOf(name: string): CommandSpec | undefined {
  return Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
}

function unknownCommand(name: string): ConfigError {
  const text = `unknown command ${JSON.stringify(name)}.${didYouMean(name, COMMAND_NAMES)}`
  return new ConfigError(`${text} Run "onnxd help" to list the commands.`)
}

interface Interrupt {
  readonly signal: AbortSignal
  /** Ends a command that prints for a long time, as in `onnxd logs -f | head`. */
  readonly onClosedPipe: () => void
  readonly isPipeClosed: () => boolean
  readonly end: () => void
}

/** The first Ctrl-C asks the command to end and says so. The second ends the process. */
function watchInterrupt(status: StatusLine): Interrupt {
  const controller = new AbortController()
  let isPipeClosed = false
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED)
    status.clear()
    process.stderr.write('onnxd: interrupted\n')
    controller.abort(new Error('interrupted'))
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  return {
    signal: controller.signal,
    onClosedPipe: () => {
      isPipeClosed = true
      controller.abort(new Error('the output was closed'))
    },
    isPipeClosed: () => isPipeClosed,
    end: () => process.off('SIGINT', stop).off('SIGTERM', stop),
  }
}

/** Resolves when the text is written, or cannot be written because a pipe was closed. */
async function write(text: string | Uint8Array): Promise<void> {
  if (text.length === 0) return
  await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()))
}
