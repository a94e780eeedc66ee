import { ServerError, messageOf } from '../../errors.ts'

const MAX_CHARACTERS = 16 * 1024
const MAX_MESSAGE = 4096
const MAX_FRAMES = 10
const MAX_CAUSES = 3

/**
 * Prints a thrown value to stderr. A ServerError is printed as its message; any other error as its
 * name, message, stack and causes. It never prints an inspected object, and it never throws.
 */
export function reportError(what: string, thrown: unknown): void {
  let text: string
  try {
    text = textOf(thrown)
  } catch {
    text = 'an error that cannot be printed'
  }
  console.error(
    `${what}: ${text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text}`,
  )
}

function textOf(thrown: unknown): string {
  const blocks: string[] = []
  for (let next = thrown; next !== undefined && blocks.length <= MAX_CAUSES; next = causeOf(next)) {
    // The message of a ServerError says everything; its cause is a longer text of the runtime with
    // the same content.
    if (next instanceof ServerError) return [...blocks, next.message].join('\nCaused by: ')
    blocks.push(blockOf(next))
  }
  return blocks.length === 0 ? 'undefined' : blocks.join('\nCaused by: ')
}

function blockOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return messageOf(thrown, MAX_MESSAGE)
  const frames = (thrown.stack ?? '').split('\n').filter((line) => /^ {4}at /.test(line))
  const message = messageOf(thrown, MAX_MESSAGE)
  return [`${thrown.name}: ${message}`, ...frames.slice(0, MAX_FRAMES)].join('\n')
}

function causeOf(thrown: unknown): unknown {
  return thrown instanceof Error ? thrown.cause : undefined
}
