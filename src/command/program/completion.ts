/** `onnxd completion`: commands and flags for bash, zsh and fish. */
import { didYouMean } from '../../closest-name.ts'
import { ConfigSchema, flagName } from '../../config/config.ts'
import { ConfigError } from '../../errors.ts'
import { COMMANDS, COMMON_FLAGS, COMMAND_NAMES, SERVE } from './commands.ts'
import type { CommandInput, Outcome } from './outcome.ts'

const SHELLS = ['bash', 'zsh', 'fish']

/** Words after `cache` and `completion`. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  cache: ['list', 'clear'],
  completion: SHELLS,
  help: COMMAND_NAMES,
}

/** Prints the script of a shell. */
export function printCompletion({ args: [shell = ''] }: CommandInput): Promise<Outcome> {
  if (!SHELLS.includes(shell)) {
    const hint = didYouMean(shell, SHELLS)
    throw new ConfigError(
      `unknown shell ${JSON.stringify(shell)}.${hint} Known: ${SHELLS.join(', ')}.`,
    )
  }
  const text = shell === 'fish' ? fishScript() : bashScript(shell === 'zsh')
  return Promise.resolve({ data: { shell, script: text }, text })
}

/** The words that can follow a command, besides files. */
function wordsAfter(command: string): string[] {
  const flags =
    command in SERVE
      ? ['config', ...Object.keys(ConfigSchema.properties).map(flagName)]
      : [...(COMMANDS[command]?.flags ?? []), ...COMMON_FLAGS].map(({ name }) => name)
  return [...(WORDS[command] ?? []), ...flags.map((name) => `--${name}`)]
}

function bashScript(isZsh: boolean): string {
  const cases = COMMAND_NAMES.map(
    (name) => `    ${name}) words="${wordsAfter(name).join(' ')}" ;;\n`,
  ).join('')
  // zsh runs completions of bash after this line.
  const start = isZsh ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''
  return `${start}_onnxd() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then words="${COMMAND_NAMES.join(' ')}"
  else case "\${COMP_WORDS[1]}" in
${cases}  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  case "$current" in -*) ;; *) COMPREPLY+=($(compgen -f -- "$current")) ;; esac
}
complete -o filenames -F _onnxd onnxd
`
}

function fishScript(): string {
  const lines = COMMAND_NAMES.flatMap((name) => {
    const summary =
      COMMANDS[name]?.summary ?? (name in SERVE ? 'serve models, or show the cache' : '')
    const about = quote(summary)
    const own = wordsAfter(name).map((word) =>
      word.startsWith('--')
        ? `complete -c onnxd -n '__fish_seen_subcommand_from ${name}' -l ${word.slice(2)}`
        : `complete -c onnxd -n '__fish_seen_subcommand_from ${name}' -a ${word}`,
    )
    return [`complete -c onnxd -n __fish_use_subcommand -a ${name} -d ${about}`, ...own]
  })
  return `${lines.join('\n')}\n`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`\'`)}'`
}
