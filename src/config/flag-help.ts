/** `onnxd help serve`: lists every flag from the schema of the settings, by subject. */
import { ConfigSchema, flagName } from './config.ts'
import { flagGroups } from './flag-groups.ts'

const MIN_COLUMNS = 60
const USUAL_COLUMNS = 100
const NAME_COLUMNS = 32

/** @param columns Width of the terminal; `undefined` for a file or a pipe. */
export function flagHelp(columns: number | undefined): string {
  const width = Math.max(MIN_COLUMNS, Math.min(columns ?? USUAL_COLUMNS, USUAL_COLUMNS))
  const groups = flagGroups().map(({ title, keys }) => {
    const config = title === 'Basics' ? entry('    --config FILE', CONFIG_TEXT, width) : ''
    return `${title}\n${config}${keys.map((key) => flagEntry(key, width)).join('')}`
  })
  return `Usage: onnxd serve [MODEL…] [flags]
       onnxd MODEL… [flags]

${wrapped(ORIGINS, width).join('\n')}

${groups.join('\n')}`
}

const ORIGINS =
  'Each flag is also an environment variable (--batch-size: ONNXD_BATCH_SIZE) and a key of the config file (batchSize). Switch a flag off with --no-….'
const CONFIG_TEXT =
  'YAML or JSON file with settings, named as in docs/configuration.md; or a config.properties of MMS or TorchServe.'

function flagEntry(key: keyof typeof ConfigSchema.properties, width: number): string {
  const {
    type,
    description = '',
    default: usual,
  } = ConfigSchema.properties[key] as {
    type?: string
    description?: string
    default?: unknown
  }
  const value = type === 'boolean' ? '' : type === 'integer' ? ' N' : ' TEXT'
  const short = key === 'port' ? '-p, ' : '    '
  const shown = JSON.stringify(usual)
  const text = `${description}${shown === '""' || shown === '[]' ? '' : ` Default ${shown}.`}`
  return entry(`${short}--${flagName(key)}${value}`, text, width)
}

function entry(name: string, text: string, width: number): string {
  const indent = ' '.repeat(NAME_COLUMNS)
  const lines = wrapped(text, width - NAME_COLUMNS)
  const start = `  ${name} `
  const first = start.length > NAME_COLUMNS ? `${start}\n${indent}` : start.padEnd(NAME_COLUMNS)
  return `${first}${lines.join(`\n${indent}`)}\n`
}

function wrapped(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
