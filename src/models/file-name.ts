/** File names that strangers give. Nothing is stored under them; they only say what format a file has. */

const MAX_CHARACTERS = 100
const NAMELESS = 'model'

/**
 * The last part of a path or of a URL's path, made harmless: letters, digits, dot, dash and underscore,
 * none of them a dot at the start.
 */
export function safeFileName(text: string): string {
  const last = decoded(text).split(/[/\\]/).at(-1) ?? ''
  const name = last.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(-MAX_CHARACTERS)
  return name.replace(/^[._-]+/, '') || NAMELESS
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
