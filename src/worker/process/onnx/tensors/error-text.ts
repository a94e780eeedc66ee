/** Parts of the texts that tell a caller what is wrong with a request. Names are the client's, so they are cut and quoted. */
import type { TensorSpec } from './metadata.ts'

const MAX_NAME = 64
const MAX_LISTED = 8
const MAX_DIMENSIONS = 16

/**
 * Characters that no text has: control characters but for tabs and line ends, and what stands for
 * bytes that are not UTF-8.
 */
const BINARY = /(?![\t\r\n])[\p{Cc}\ufffd]/u
/** Characters that show nothing, or turn the direction of writing. */
const INVISIBLE = /[\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu

/**
 * A name or value in double quotes, at most 64 characters; a placeholder for one that is not
 * printable text.
 */
export function quote(text: string): string {
  const shown =
    text.length > MAX_NAME ? `${text.slice(0, MAX_NAME).replace(/[\ud800-\udbff]$/, '')}…` : text
  return BINARY.test(shown)
    ? '(binary data)'
    : JSON.stringify(shown).replace(INVISIBLE, (character) => escaped(character))
}

/** The text of a library in one line, each run of characters that cannot be printed as one `?`. */
export function printable(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/[\p{C}\ufffd]+/gu, '?')
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}

/** `[1,784]`. */
export function shapeText(shape: readonly (number | string)[]): string {
  const shown = shape.slice(0, MAX_DIMENSIONS).join(',')
  return shape.length > MAX_DIMENSIONS ? `[${shown},…]` : `[${shown}]`
}

/** `FP32 [-1,784] (N,784)`; the names in parentheses only where the model has some. */
export function specText(spec: TensorSpec): string {
  if (spec.anyShape === true) return `${spec.datatype} of any shape`
  const hasNames = spec.dimensions.some((name) => typeof name === 'string' && name !== '')
  const names = hasNames
    ? ` (${shapeText(spec.dimensions.map((name) => (name === '' ? '?' : name))).slice(1, -1)})`
    : ''
  return `${spec.datatype} ${shapeText(spec.shape)}${names}`
}

/** `"x" FP32 [-1,784] (N,784), "y" …`, at most 8 of them. */
export function specListText(specs: readonly TensorSpec[]): string {
  const shown = specs.slice(0, MAX_LISTED).map((spec) => `${quote(spec.name)} ${specText(spec)}`)
  const more = specs.length - shown.length
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/** `1 element`, `3 elements`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
