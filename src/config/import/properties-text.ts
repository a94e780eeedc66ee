/** Reads the text form of Java properties as `java.util.Properties` does. */
import { ConfigError } from '../../errors.ts'

const ESCAPES: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' }
const BLANK = /^[ \t\f]+/
/** A UTF-8 byte order mark, or the same bytes read as Latin-1. */
const BYTE_ORDER_MARK = /^(?:\uFEFF|\u00EF\u00BB\u00BF)/

/**
 * Returns the text of a properties file. Its bytes are Latin-1; other characters are written
 * `\uXXXX`.
 */
export function decodeProperties(bytes: Buffer): string {
  return bytes.toString('latin1')
}

/**
 * Returns the keys and values in the order of the file. The last value of a repeated key wins.
 * @throws ConfigError for an invalid `\uXXXX`.
 */
export function parseProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>()
  for (const line of logicalLines(text.replace(BYTE_ORDER_MARK, ''))) {
    // The key ends at the first blank, `=` or `:` without a backslash. One `=` or `:` may follow
    // blanks.
    const [whole, key = ''] = /^((?:\\.|[^\\ \t\f=:])*)[ \t\f]*[=:]?[ \t\f]*/s.exec(line) ?? ['']
    properties.set(unescape(key), unescape(line.slice(whole.length)))
  }
  return properties
}

/**
 * Yields the lines without comments and blank lines. A line that ends in an odd number of
 * backslashes is joined with the next.
 */
function* logicalLines(text: string): Generator<string> {
  let joined: string | undefined
  for (const natural of text.split(/\r\n|[\r\n]/)) {
    const line = natural.replace(BLANK, '')
    // A comment does not continue. Within a continued line `#` is an ordinary character.
    if (joined === undefined && (line === '' || line.startsWith('#') || line.startsWith('!')))
      continue
    const isContinued = backslashesAtEnd(line) % 2 === 1
    joined = (joined ?? '') + (isContinued ? line.slice(0, -1) : line)
    if (isContinued) continue
    yield joined
    joined = undefined
  }
  if (joined !== undefined) yield joined
}

/** A regular expression would take quadratic time for many backslashes. */
function backslashesAtEnd(line: string): number {
  let end = line.length
  while (line[end - 1] === '\\') end -= 1
  return line.length - end
}

function unescape(text: string): string {
  return text.replaceAll(/\\(?:u[0-9A-Fa-f]{4}|.)/gs, (escape) => {
    const letter = escape.charAt(1)
    if (letter !== 'u') return ESCAPES[letter] ?? letter
    if (escape.length === 6) return String.fromCharCode(Number.parseInt(escape.slice(2), 16))
    throw new ConfigError('The properties file has an invalid \\uxxxx escape.')
  })
}
