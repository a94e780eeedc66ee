/**
 * Selects the last lines that a worker wrote before it failed, for the error that the client gets.
 */
import { ServerError, withoutFolders } from '../../../errors.ts'

const MAX_LINES = 5
const MAX_CHARACTERS = 1024
/** A line of a stack trace. The server's log has the stack; the client cannot use it. */
const STACK_FRAME = /^\s+at (?:.+ \()?(?:\S+:\d+:\d+|<anonymous>|native)\)?$/

/**
 * Returns the newest of `lines` (oldest first): at most 5 lines and 1024 characters in all. Stack
 * traces are left out, and file names lose their folders. A line that is too long keeps its
 * beginning.
 */
export function lastLines(lines: readonly string[]): string[] {
  const shown: string[] = []
  let left = MAX_CHARACTERS
  const told = lines.filter((line) => !STACK_FRAME.test(line))
  for (const line of told.slice(-MAX_LINES).toReversed()) {
    const text = withoutFolders(line).slice(0, left)
    left -= text.length
    if (text !== '') shown.unshift(text)
  }
  return shown
}

/**
 * Adds the worker's last stderr lines to an error. They usually explain more than the error itself.
 */
export function withErrorLog(error: ServerError, lines: readonly string[]): ServerError {
  const log = lastLines(lines)
  if (log.length === 0) return error
  const { type, message, statusCode } = error
  return new ServerError(type, message, { statusCode, cause: error, log })
}
