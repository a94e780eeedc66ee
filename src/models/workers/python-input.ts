/**
 * Rejects bodies that MMS's Python worker cannot decode. Such a body would kill the worker: it
 * decodes before it calls the handler, so the front-end must check.
 */
import { isUtf8 } from 'node:buffer'
import { ServerError } from '../../errors.ts'
import type { Parameter } from '../scheduling/queue/job.ts'

/** Python fails at about a thousand levels. */
const MAX_DEPTH = 500
/** Python cannot convert more than 4300 digits to an integer. */
const MAX_DIGITS = 4000
/** Python reads these as numbers. */
const NO_JSON_NUMBER = /-?\bInfinity\b|\bNaN\b/g

const QUOTE = 0x22
const BACKSLASH = 0x5c
const ZERO = 0x30
const NINE = 0x39
const OPENINGS: ReadonlySet<number> = new Set(['[', '{'].map((text) => text.charCodeAt(0)))
const CLOSINGS: ReadonlySet<number> = new Set([']', '}'].map((text) => text.charCodeAt(0)))

/**
 * Checks that the worker can decode all values: `application/json` must be JSON, `text…` must be
 * UTF-8.
 * @throws ServerError `InvalidInputException`.
 */
export function checkPythonInput(parameters: readonly Parameter[]): void {
  for (const { name, contentType, value } of parameters) {
    const isJson = contentType === 'application/json'
    if (!isJson && !contentType.startsWith('text')) continue
    const problem = isUtf8(value)
      ? isJson && problemWithJson(value.toString('utf8'))
      : 'is not valid UTF-8'
    if (problem === false) continue
    const text = `Parameter ${JSON.stringify(name.slice(0, 100))} ${problem}.`
    throw new ServerError('InvalidInputException', text)
  }
}

function problemWithJson(text: string): string | false {
  const problem = problemWithSize(text)
  if (problem !== undefined) return problem
  try {
    JSON.parse(text)
    return false
  } catch (error) {
    if (isPythonJson(text)) return false
    return `is not valid JSON: ${error instanceof Error ? error.message : String(error)}`
  }
}

/**
 * Checks each character once. A regular expression would start again at each quote of a string
 * without an end.
 */
function problemWithSize(text: string): string | undefined {
  let depth = 0
  let digits = 0
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    digits = code >= ZERO && code <= NINE ? digits + 1 : 0
    if (digits > MAX_DIGITS) return `is JSON with a number of more than ${MAX_DIGITS} digits`
    if (code === QUOTE) index = endOfString(text, index) - 1
    else if (OPENINGS.has(code)) depth += 1
    else if (CLOSINGS.has(code)) depth -= 1
    if (depth > MAX_DEPTH) return `is JSON with more than ${MAX_DEPTH} levels of arrays and objects`
  }
  return undefined
}

/** Whether the text is JSON apart from `NaN` and `Infinity`, which only Python reads and writes. */
function isPythonJson(text: string): boolean {
  let plain = ''
  for (let start = 0; start < text.length;) {
    const quote = text.indexOf('"', start)
    const between = quote === -1 ? text.length : quote
    plain += text.slice(start, between).replace(NO_JSON_NUMBER, '0')
    start = endOfString(text, between)
    plain += text.slice(between, start)
  }
  try {
    JSON.parse(plain)
    return plain !== text
  } catch {
    return false
  }
}

/**
 * Returns the index after the string that begins at `start`; the end of the text if the string has
 * no end.
 */
function endOfString(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code === BACKSLASH) index += 1
    else if (code === QUOTE) return index + 1
  }
  return text.length
}
