/**
 * What MMS's worker in Python cannot decode kills it (MMS worker process, section 2.4). It decodes
 * before it calls the handler, so the front-end has to look for it.
 */
import { isUtf8 } from 'node:buffer'
import { ServerError } from '../errors.ts'
import type { Parameter } from './job.ts'

/** Python gives up at about a thousand levels. */
const MAX_DEPTH = 500
/** Python refuses to turn more digits than 4300 into an integer. */
const LONG_NUMBER = /\d{4001}/
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/gs
/** Python reads these as numbers. */
const NO_JSON_NUMBER = /-?\bInfinity\b|\bNaN\b/g

/**
 * Lets through only what the worker can decode: `application/json` that is JSON, `text…` that is UTF-8.
 * @throws ServerError `InvalidInputException`.
 */
export function checkPythonInput(parameters: readonly Parameter[]): void {
  for (const { name, contentType, value } of parameters) {
    const isJson = contentType === 'application/json'
    if (!isJson && !contentType.startsWith('text')) continue
    const problem = isUtf8(value) ? isJson && problemWithJson(value.toString('utf8')) : 'no UTF-8'
    if (problem === false) continue
    const text = `The value of ${JSON.stringify(name.slice(0, 100))} is ${problem}.`
    throw new ServerError('InvalidInputException', text)
  }
}

function problemWithJson(text: string): string | false {
  const numbers = text.replace(STRING, '""')
  if (depthOf(numbers) > MAX_DEPTH) return `JSON of more than ${MAX_DEPTH} levels`
  if (LONG_NUMBER.test(numbers)) return 'JSON with a number of more than 4000 digits'
  try {
    JSON.parse(text)
    return false
  } catch (error) {
    if (isPythonJson(text)) return false
    return `not valid JSON: ${error instanceof Error ? error.message : String(error)}`
  }
}

function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (const character of text) {
    if (character === '[' || character === '{') deepest = Math.max(deepest, ++depth)
    else if (character === ']' || character === '}') depth -= 1
  }
  return deepest
}

/** JSON but for the numbers that only Python writes and reads. */
function isPythonJson(text: string): boolean {
  const parts = text.split(STRING).map((part) => part.replace(NO_JSON_NUMBER, '0'))
  const strings = text.match(STRING) ?? []
  const plain = parts.map((part, index) => part + (strings[index] ?? '')).join('')
  try {
    JSON.parse(plain)
    return plain !== text
  } catch {
    return false
  }
}
