/** The description of a command. Help, completion, checks of arguments and the start read it. */
import type { CommandInput, Outcome } from './outcome.ts'

/** A flag of a command. */
export interface FlagSpec {
  readonly name: string
  readonly short?: string
  /** Placeholder of its value; absent for a flag without a value. */
  readonly value?: string
  readonly isRepeatable?: boolean
  readonly text: string
}

/** A command besides `serve` and `cache`, which read the settings of a server as flags. */
export interface CommandSpec {
  readonly usage: string
  readonly summary: string
  /** Minimum and maximum number of arguments. */
  readonly arity: readonly [least: number, most: number]
  readonly flags: readonly FlagSpec[]
  /** More for `onnxd help COMMAND`. */
  readonly details?: string
  readonly examples: readonly string[]
  /** Whether arguments after `--` are settings of a server. */
  readonly takesSettings?: boolean
  /** Imports the code of this command only, because all code together is slow to load. */
  readonly load: () => Promise<(input: CommandInput) => Promise<Outcome>>
}

/** Flags that set the request of a command. */
export const REQUEST_FLAGS: readonly FlagSpec[] = [
  {
    name: 'input',
    short: 'i',
    value: 'FILE',
    text: 'File with the request; - reads standard input.',
  },
  { name: 'data', short: 'd', value: 'TEXT', text: 'The request itself.' },
  {
    name: 'type',
    short: 't',
    value: 'TYPE',
    text: 'Content type. Default: from the name of the file, else from its first bytes.',
  },
]
