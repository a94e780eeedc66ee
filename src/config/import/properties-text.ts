/** The text form of Java properties, as `java.util.Properties` reads it. */
import { ConfigError } from '../../errors.ts'

const ESCAPES: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' }
const BLANK = /^[ \t\f]+/
/** A UTF-8 byte order mark, also as it looks when it is read as Latin-1. */
const BYTE_ORDER_MARK = /^(?:\uFEFF|\u00EF\u00BB\u00BF)/

/** Text of a properties file: its bytes are Latin-1, other characters are written `\uXXXX`. */
export function decodeProperties(bytes: Buffer): string {
  return bytes.toString('latin1')
}

/**
 * Keys and values in the order of the file; of a key that is there twice the last value counts.
 * @throws ConfigError for a broken `\uXXXX`.
 */
export function parseProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>()
  for (const line of logicalLines(text.replace(BYTE_ORDER_MARK, ''))) {
    // The key ends at the first blank, `=` or `:` that is not escaped; one `=` or `:` may follow blanks.
    const [whole, key = ''] = /^((?:\\.|[^\\ \t\f=:])*)[ \t\f]*[=:]?[ \t\f]*/s.exec(line) ?? ['']
    properties.set(unescape(key), unescape(line.slice(whole.length)))
  }
  return properties
}

/** Lines without comments and blank ones, those that end in an odd number of backslashes joined with the next. */
function* logicalLines(text: string): Generator<string> {
  let joined: string | undefined
  for (const natural of text.split(/\r\n|[\r\n]/)) {
    const line = natural.replace(BLANK, '')
    // A comment does not continue, and within a continued line `#` is a character like others.
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

/** A regular expression would look at a long row of them again and again. */
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
    throw new ConfigError('Malformed \\uxxxx encoding in the properties file.')
  })
}
