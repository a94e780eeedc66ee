/** Reads a flat JSON object as parameters: each value is the text that the client wrote. */
import { ServerError } from '../../errors.ts'
import { checkJsonLimits } from '../../request-json.ts'

/** An object with this many members or more is rejected. */
const MAX_MEMBERS = 1000
const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPENING_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d

/** A member of the object. */
export interface JsonMember {
  readonly name: string
  /** The text of a scalar; `undefined` for an object or array. */
  readonly text: string | undefined
  /** The value as JSON text. */
  readonly written: string
}

/**
 * The members of the object in `json`, in order, without those with the value null. A number keeps
 * the text that the client wrote: `1.0` is a version, and `JSON.parse` would change it to `1`.
 * @param what Subject of the error texts, for example `The body`.
 * @throws ServerError `BadRequestException` if `json` is not a JSON object or has too many members.
 */
export function jsonMembers(json: string, what = 'The body'): JsonMember[] {
  const text = json.replace(/^\uFEFF/, '')
  checkJsonLimits(text, what)
  if (text.trim() === '') return []
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ServerError('BadRequestException', `${what} is not valid JSON.`, { cause })
  }
  if (value === null) return []
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new ServerError('BadRequestException', `${what} must be a JSON object.`)
  }
  const members = splitObject(text)
  if (members.length < MAX_MEMBERS) return members
  throw new ServerError(
    'BadRequestException',
    `${what} must have fewer than ${MAX_MEMBERS} members.`,
  )
}

/** The first members of an object that are not null. `text` must be valid JSON. */
function splitObject(text: string): JsonMember[] {
  const members: JsonMember[] = []
  let depth = 0
  let start = 0
  let name: string | undefined
  for (let index = 0; index < text.length && members.length < MAX_MEMBERS; index += 1) {
    const code = text.charCodeAt(index)
    if (code === QUOTE) {
      index = endOfString(text, index)
    } else if (depth === 1 && (code === COMMA || code === CLOSING_BRACE)) {
      const written = text.slice(start, index).trim()
      if (name !== undefined && written !== 'null') members.push(toMember(name, written))
      name = undefined
    } else if (depth === 1 && code === COLON) {
      name = stringOf(text.slice(start, index).trim())
    }
    if (code === OPENING_BRACE || code === OPENING_BRACKET) depth += 1
    else if (code === CLOSING_BRACE || code === CLOSING_BRACKET) depth -= 1
    // Nested objects and arrays are part of a value.
    const isBorder = code === OPENING_BRACE || code === COMMA || code === COLON
    if (isBorder && depth === 1) start = index + 1
  }
  return members
}

function toMember(name: string, written: string): JsonMember {
  const isNested = written.startsWith('{') || written.startsWith('[')
  const text = written.startsWith('"') ? stringOf(written) : written
  return { name, text: isNested ? undefined : text, written }
}

/** The value of a JSON string. */
function stringOf(written: string): string {
  return written.includes('\\') ? String(JSON.parse(written)) : written.slice(1, -1)
}

/** The index of the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let index = start + 1
  for (let code = text.charCodeAt(index); code !== QUOTE; code = text.charCodeAt(index)) {
    index += code === BACKSLASH ? 2 : 1
  }
  return index
}
