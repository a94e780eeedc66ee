/**
 * Builds parts of the error texts for invalid requests. Names come from the client, so they are cut
 * and quoted.
 */
import type { TensorSpec } from './metadata.ts'

const MAX_NAME = 64
const MAX_LISTED = 8
const MAX_DIMENSIONS = 16

/**
 * Characters that a text does not contain: control characters except tabs and line ends, and the
 * replacement character for bytes that are not UTF-8.
 */
const BINARY = /(?![\t\r\n])[\p{Cc}\ufffd]/u
/** Characters that are invisible or change the writing direction. */
const INVISIBLE = /[\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu

/**
 * Returns a name or value in double quotes, cut to 64 characters, or a placeholder when it is not
 * printable text.
 */
export function quote(text: string): string {
  const shown =
    text.length > MAX_NAME ? `${text.slice(0, MAX_NAME).replace(/[\ud800-\udbff]$/, '')}…` : text
  return BINARY.test(shown)
    ? '(binary data)'
    : JSON.stringify(shown).replace(INVISIBLE, (character) => escaped(character))
}

/**
 * Converts a text of a library to one line, with each run of unprintable characters replaced by one
 * `?`.
 */
export function printable(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/[\p{C}\ufffd]+/gu, '?')
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}

/** For example `[1,784]`. */
export function shapeText(shape: readonly (number | string)[]): string {
  const shown = shape.slice(0, MAX_DIMENSIONS).join(',')
  return shape.length > MAX_DIMENSIONS ? `[${shown},…]` : `[${shown}]`
}

/**
 * For example `FP32 [-1,784] (N,784)`. The names in parentheses appear only if the model has names.
 */
export function specText(spec: TensorSpec): string {
  if (spec.anyShape === true) return `${spec.datatype} of any shape`
  const hasNames = spec.dimensions.some((name) => typeof name === 'string' && name !== '')
  const names = hasNames
    ? ` (${shapeText(spec.dimensions.map((name) => (name === '' ? '?' : name))).slice(1, -1)})`
    : ''
  return `${spec.datatype} ${shapeText(spec.shape)}${names}`
}

/** For example `"x" FP32 [-1,784] (N,784), "y" …`, with at most 8 entries. */
export function specListText(specs: readonly TensorSpec[]): string {
  const shown = specs.slice(0, MAX_LISTED).map((spec) => `${quote(spec.name)} ${specText(spec)}`)
  const more = specs.length - shown.length
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/** For example `1 element` or `3 elements`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
