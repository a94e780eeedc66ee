import { inspect } from 'node:util'

const MAX_CHARACTERS = 16 * 1024
const INSPECT_OPTIONS = { depth: 3, maxArrayLength: 10, maxStringLength: 4096 } as const

/** Prints anything thrown, with its stack and causes, to stderr. Never throws. */
export function reportError(what: string, thrown: unknown): void {
  let text: string
  try {
    text = inspect(thrown, INSPECT_OPTIONS)
  } catch {
    text = 'an error that cannot be printed'
  }
  console.error(
    `${what}: ${text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text}`,
  )
}
