import { isUtf8 } from 'node:buffer'
import { ServerError, messageOf } from '../../../errors.ts'
import type { WorkerOptions } from '../handler.ts'
import { printable } from '../onnx/tensors/error-text.ts'
import { hasMoreNamesThan } from './json-names.ts'

/**
 * Different names of members in one document: V8 takes microseconds for each new one, seconds for a
 * million.
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
 * The value of a JSON document that a client sent.
 * @throws ServerError `PayloadTooLargeException` above the size limit, `InvalidInputException` for
 * nesting or different names above their limits, bytes that are not UTF-8, or text that is not JSON
 * (an empty one is not).
 */
export function parseJson(bytes: Buffer, limits: JsonLimits): unknown {
  if (bytes.length > limits.maxJsonBytes) {
    throw new ServerError(
      'PayloadTooLargeException',
      `The JSON document has ${bytes.length} bytes; ${limits.maxJsonBytes} are allowed.`,
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
      `The JSON document has more than ${MAX_NAMES} different names of members.`,
    )
  }
  const text = parseText(bytes)
  try {
    return JSON.parse(text)
  } catch (cause) {
    const reason = printable(messageOf(cause, 200))
    throw new ServerError('InvalidInputException', `Not valid JSON: ${reason}`, { cause })
  }
}

/**
 * Text that a client sent, with its byte order mark if it has one, as the original keeps it.
 * @throws ServerError `InvalidInputException` when it is not UTF-8.
 */
export function parseText(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  throw new ServerError('InvalidInputException', 'Not valid UTF-8.')
}

/** One pass over the bytes, because a parsed document that is too deep already cost its memory. */
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

/** Index of the quote that closes the string opened at `start`, or the end of the bytes. */
function endOfString(bytes: Buffer, start: number): number {
  for (let index = start + 1; index < bytes.length; index++) {
    const byte = bytes[index]
    if (byte === BACKSLASH) index++
    else if (byte === QUOTE) return index
  }
  return bytes.length
}
