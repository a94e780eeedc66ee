/** What every command gets, and what it returns. */
import type { Terminal } from '../terminal/terminal.ts'

/** Arguments and surroundings of a command. */
export interface CommandInput {
  readonly args: readonly string[]
  /** Values of the flags, by name; absent ones are missing. */
  readonly flags: Readonly<
    Record<string, string | boolean | readonly (string | boolean)[] | undefined>
  >
  /** Arguments after `--`. */
  readonly rest: readonly string[]
  readonly environment: NodeJS.ProcessEnv
  /** Standard output. */
  readonly terminal: Terminal
  /** Writes to standard output at once, before the result. */
  readonly print: (text: string) => Promise<void>
  /** Shows a line that changes on standard error; without a terminal it does nothing. */
  readonly progress: (line: string) => void
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
}

/** Result of a command: the same facts for programs and for people. */
export interface Outcome {
  /** Printed by `--json`. */
  readonly data: unknown
  /** Printed otherwise. Bytes are written unchanged. */
  readonly text: string | Uint8Array
  /** Exit code; default 0. */
  readonly code?: number
}

/** The value of a flag that takes a text. */
export function textFlag({ flags }: Pick<CommandInput, 'flags'>, name: string): string | undefined {
  const value = flags[name]
  return typeof value === 'string' ? value : undefined
}

/** The values of a flag that can be repeated. */
export function textFlags({ flags }: Pick<CommandInput, 'flags'>, name: string): string[] {
  const value = flags[name]
  return Array.isArray(value) ? value.map(String) : []
}
