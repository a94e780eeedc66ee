/** Charsets that a content type can declare. */
import { ServerError } from '../../../errors.ts'
import { quote } from './tensors/error-text.ts'

const CHARSET = /(;\s*charset\s*=\s*)("[^"]*"|[^\s;,]*)/i
/** ASCII is a part of UTF-8. */
const UTF8_LABELS: ReadonlySet<string> = new Set(['', 'utf-8', 'utf8', 'us-ascii', 'ascii'])
const MARKS: readonly (readonly [encoding: string, mark: Buffer])[] = [
  ['utf-8', Buffer.from([0xef, 0xbb, 0xbf])],
  ['utf-16le', Buffer.from([0xff, 0xfe])],
  ['utf-16be', Buffer.from([0xfe, 0xff])],
]

/**
 * The charset that a content type declares, in lower case; `undefined` for UTF-8, and if there is
 * none.
 */
export function charsetOf(contentType: string): string | undefined {
  if (!contentType.includes(';')) return undefined
  const label = CHARSET.exec(contentType)?.[2]?.replaceAll('"', '').trim().toLowerCase() ?? ''
  return UTF8_LABELS.has(label) ? undefined : label
}

/** Returns the content type with UTF-8 as its charset. */
export function inUtf8(contentType: string): string {
  return contentType.replace(CHARSET, '$1utf-8')
}

/**
 * Converts a text to UTF-8.
 * @throws ServerError 415 for an unknown charset, 400 for bytes that do not have it
 */
export function toUtf8(bytes: Buffer, charset: string): Buffer {
  const declared = decoderFor(charset)
  // A byte order mark is surer than the declaration, as in browsers. "UTF-16" has two orders.
  const encoding = MARKS.find(([, mark]) => mark.equals(bytes.subarray(0, mark.length)))?.[0]
  if (encoding === 'utf-8') return bytes
  const decoder = encoding === undefined ? declared : decoderFor(encoding)
  try {
    return Buffer.from(decoder.decode(bytes))
  } catch (cause) {
    const text = `The body is not valid ${decoder.encoding}, but the charset of its content type is ${charset}.`
    throw new ServerError('InvalidInputException', text, { cause })
  }
}

function decoderFor(charset: string): InstanceType<typeof TextDecoder> {
  try {
    return new TextDecoder(charset, { fatal: true })
  } catch (cause) {
    const text = `The charset ${quote(charset)} of the content type is not supported. Send UTF-8, or a charset of the WHATWG Encoding Standard, such as utf-16, iso-8859-1, windows-1252, shift_jis or gb18030.`
    throw new ServerError('UnsupportedMediaTypeException', text, { cause })
  }
}
