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
  if (name === undefined) return mainHelp(columns)
  const spec = specOf(name)
  if (spec === undefined) throw unknownCommand(name)
  return commandHelp(spec, columns)
}

/** Whether the arguments start with a model or a flag of `serve` instead of a command. */
export function isServe(first: string): boolean {
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
  if (input.flags.help === true) return write(helpText(name))
  const status = new StatusLine(process.stderr)
  const interrupt = watchInterrupt(status)
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
    if (interrupt.signal.aborted) process.exitCode = INTERRUPTED
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

/** The first Ctrl-C asks the command to end and says so. The second ends the process. */
function watchInterrupt(status: StatusLine): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController()
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED)
    status.clear()
    process.stderr.write('onnxd: interrupted\n')
    controller.abort(new Error('interrupted'))
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  return {
    signal: controller.signal,
    end: () => process.off('SIGINT', stop).off('SIGTERM', stop),
  }
}

/** Resolves when the text is written. A closed pipe, as with `head`, is no error. */
async function write(text: string | Uint8Array): Promise<void> {
  await new Promise<void>((resolve) => {
    process.stdout.on('error', () => resolve())
    process.stdout.write(text, () => resolve())
  })
}
