/** Parses JSON without losing digits of large integers. */
import { MAX_JSON_DEPTH, isDeeperThan } from '../../request-json.ts'

/** From this number of digits on, an integer may not be exact as a number. */
const LARGE_INTEGER = /(?<![\d.])\d{16}/
/** A text, or an integer of at most 64 bits with many digits. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|(?<![\d.eE+-])-?\d{16,20}(?![\d.eE])/g
/** Begins a text that stands for a large integer. */
const MARK = '\u0000integer:'
const MARKED = /^\0integer:-?\d{16,20}$/

/**
 * Parses a body. Integers of 16 digits or more become bigints.
 * @throws Error for a body that is not JSON, or is nested too deeply.
 */
export function parseJson(body: Buffer): unknown {
  const text = body.toString()
  if (isDeeperThan(MAX_JSON_DEPTH, text)) throw new RangeError('the JSON is nested too deeply')
  if (!LARGE_INTEGER.test(text)) return JSON.parse(text)
  const marked = text.replaceAll(TOKENS, (token) =>
    token.startsWith('"') ? token : JSON.stringify(`${MARK}${token}`),
  )
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === 'string' && MARKED.test(value) ? BigInt(value.slice(MARK.length)) : value,
  )
}
