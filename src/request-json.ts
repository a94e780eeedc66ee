/**
 * Parses the JSON that the front-end itself reads from requests: management parameters, never
 * tensors.
 */
import { ServerError } from './errors.ts'

/** The worker has the same limit for the JSON of predictions. */
export const MAX_JSON_DEPTH = 100
/** Far more than any parameters need. All other requests wait while the text is parsed. */
const MAX_BYTES = 1024 * 1024

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * Parses `text`, which may have at most 1 MiB and 100 levels.
 * @param what The start of error texts, for example `the body`.
 * @throws ServerError `BadRequestException`; `PayloadTooLargeException` above 1 MiB.
 */
export function parseRequestJson(text: string, what: string): unknown {
  checkJsonLimits(text, what)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ServerError('BadRequestException', `${what} is not valid JSON`, { cause })
  }
}

/**
 * Checks the size and the depth before the text is parsed. Deeper values are valid JSON, but the
 * libraries that check and print values call themselves once per level.
 * @throws ServerError as {@link parseRequestJson}.
 */
export function checkJsonLimits(text: string, what: string): void {
  if (isDeeperThan(MAX_JSON_DEPTH, text)) {
    const problem = `${what} has more than ${MAX_JSON_DEPTH} levels of arrays and objects`
    throw new ServerError('BadRequestException', problem)
  }
  if (text.length > MAX_BYTES) {
    const problem = `${what} is larger than 1 MiB, the limit for JSON with parameters`
    throw new ServerError('PayloadTooLargeException', problem)
  }
}

/**
 * Whether arrays and objects in a JSON text are nested deeper than `levels`. Reads the text once;
 * it need not be valid JSON.
 */
export function isDeeperThan(levels: number, text: string): boolean {
  let depth = 0
  let isInString = false
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === QUOTE) isInString = !isInString
    else if (isInString) {
      if (code === BACKSLASH) index += 1
    } else if (code === OPEN_ARRAY || code === OPEN_OBJECT) {
      if (++depth > levels) return true
    } else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) depth -= 1
  }
  return false
}
