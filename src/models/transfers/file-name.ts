/**
 * Makes safe file names from names of clients. Nothing is stored under them; they only show the
 * format of a file.
 */

import { modelExtension, withoutExtension } from '../sources/model-name.ts'

const MAX_CHARACTERS = 100
const NAMELESS = 'model'

/**
 * Returns the last part of a path or of a URL's path as a safe name: letters, digits, dot, dash and
 * underscore, without a dot at the start. The extension of a model file stays. If nothing is left
 * before the extension, the name is an underscore, which cannot become a model's name.
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
