/** File names that strangers give. Nothing is stored under them; they only say what format a file has. */

import { modelExtension, withoutExtension } from '../sources/model-name.ts'

const MAX_CHARACTERS = 100
const NAMELESS = 'model'

/**
 * The last part of a path or of a URL's path, made harmless: letters, digits, dot, dash and underscore,
 * none of them a dot at the start. The ending of a model file stays; before it, a name of which
 * nothing is left becomes an underscore, of which no model can take its name.
 */
export function safeFileName(text: string): string {
  const last = decoded(text).split(/[/\\]/).at(-1) ?? ''
  const ending = modelExtension(last)
  const stem = withoutExtension(last).replaceAll(/[^A-Za-z0-9._-]/g, '_')
  const name = stem.slice(-(MAX_CHARACTERS - ending.length)).replace(/^[._-]+/, '')
  if (ending === '') return name || NAMELESS
  return `${name || '_'}${ending}`
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
