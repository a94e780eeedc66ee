/** The last words of a worker, for whoever asked for it. */
import { withoutFolders } from '../errors.ts'

const MAX_LINES = 5
const MAX_CHARACTERS = 1024
/** A line of a stack. The server's log has the stack; whoever asked for the model has no use for it. */
const STACK_FRAME = /^\s+at (?:.+ \()?(?:\S+:\d+:\d+|<anonymous>|native)\)?$/

/**
 * The newest of `lines` (oldest first), at most 5 lines and 1024 characters in all, without stacks, with file
 * names but not the folders they lie in. A line that is cut keeps its beginning.
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
