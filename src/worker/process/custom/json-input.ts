import { isUtf8 } from 'node:buffer'
import { ServerError, messageOf } from '../../../errors.ts'
import type { WorkerOptions } from '../handler.ts'
import { printable } from '../onnx/tensors/error-text.ts'
import { hasMoreNamesThan } from './json-names.ts'

/**
 * Maximum number of different member names in one document. V8 needs microseconds for each new
 * name, so a million would take seconds.
 */
const MAX_NAMES = 65_536

const QUOTE = 0x22
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

type JsonLimits = Pick<WorkerOptions, 'maxJsonBytes' | 'maxJsonDepth'>

/**
 * Parses a JSON document of a client.
 * @throws ServerError `PayloadTooLargeException` when it exceeds the size limit.
 * `InvalidInputException` when it exceeds the limits of nesting or different names, when it is not
 * UTF-8, or when it is not JSON (an empty document is not JSON).
 */
export function parseJson(bytes: Buffer, limits: JsonLimits): unknown {
  if (bytes.length > limits.maxJsonBytes) {
    throw new ServerError(
      'PayloadTooLargeException',
      `The JSON document has ${bytes.length} bytes, more than the limit of ${limits.maxJsonBytes}.`,
    )
  }
  if (isDeeperThan(bytes, limits.maxJsonDepth)) {
    throw new ServerError(
      'InvalidInputException',
      `The JSON document is nested deeper than ${limits.maxJsonDepth} levels.`,
    )
  }
  if (hasMoreNamesThan(bytes, MAX_NAMES)) {
    throw new ServerError(
      'InvalidInputException',
      `The JSON document has more than ${MAX_NAMES} different member names.`,
    )
  }
  const text = parseText(bytes)
  try {
    return JSON.parse(text)
  } catch (cause) {
    const reason = printable(messageOf(cause, 200))
    throw new ServerError('InvalidInputException', `The JSON document is not valid: ${reason}`, {
      cause,
    })
  }
}

/**
 * Decodes a text of a client. A byte order mark is kept, as in MMS.
 * @throws ServerError `InvalidInputException` when it is not UTF-8.
 */
export function parseText(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  throw new ServerError('InvalidInputException', 'The text is not valid UTF-8.')
}

/**
 * Checks the nesting in one pass over the bytes, because parsing a document that is too deep
 * already costs its memory.
 */
function isDeeperThan(bytes: Buffer, limit: number): boolean {
  let depth = 0
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index]
    if (byte === QUOTE) index = endOfString(bytes, index)
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) depth++
    else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) depth--
    if (depth > limit) return true
  }
  return false
}

/**
 * Index of the quote that closes the string at `start`, or the number of bytes when it is not
 * closed.
 */
function endOfString(bytes: Buffer, start: number): number {
  for (let index = start + 1; index < bytes.length; index++) {
    const byte = bytes[index]
    if (byte === BACKSLASH) index++
    else if (byte === QUOTE) return index
  }
  return bytes.length
}
