/** Reads the arguments of a command. */
import { parseArgs } from 'node:util'
import { flagProblem } from '../../closest-name.ts'
import { ConfigError } from '../../errors.ts'
import type { CommandSpec } from './command-spec.ts'
import { COMMON_FLAGS } from './commands.ts'
import type { CommandInput } from './outcome.ts'

/** The arguments of a command line, after the command word. */
export type Arguments = Pick<CommandInput, 'args' | 'flags' | 'rest'>

/** @throws ConfigError that names the flag or argument. */
export function readArguments(name: string, spec: CommandSpec, argv: readonly string[]): Arguments {
  const end = argv.indexOf('--')
  const own = end === -1 || spec.takesSettings !== true ? argv : argv.slice(0, end)
  const rest = own.length === argv.length ? [] : argv.slice(end + 1)
  const known = [...spec.flags, ...COMMON_FLAGS]
  const options = Object.fromEntries(
    known.map((flag) => [
      flag.name,
      {
        type: flag.value === undefined ? ('boolean' as const) : ('string' as const),
        multiple: flag.isRepeatable === true,
        ...(flag.short !== undefined && { short: flag.short }),
      },
    ]),
  )
  let parsed
  try {
    parsed = parseArgs({ args: [...own], options, allowPositionals: true })
  } catch (error) {
    const problem = flagProblem(
      error,
      known.map((flag) => flag.name),
    )
    const more = spec.takesSettings === true ? ' Settings of the server follow after --.' : ''
    throw new ConfigError(`${problem}${more} Run "onnxd help ${name}" to list all flags.`, {
      cause: error,
    })
  }
  const { positionals: args, values } = parsed
  const [least, most] = spec.arity
  if (values.help !== true && (args.length < least || args.length > most)) {
    const problem =
      args.length < least ? 'An argument is missing.' : `Unexpected argument ${String(args[most])}.`
    throw new ConfigError(`${problem} Usage: onnxd ${spec.usage}`)
  }
  return { args, flags: values, rest }
}
