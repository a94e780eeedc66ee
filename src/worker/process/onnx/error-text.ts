/** Parts of the texts that tell a caller what is wrong with a request. Names are the client's, so they are cut and quoted. */
import type { TensorSpec } from './metadata.ts'

const MAX_NAME = 64
const MAX_LISTED = 8
const MAX_DIMENSIONS = 16

/** A name or value in double quotes, control characters escaped, at most 64 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > MAX_NAME ? `${text.slice(0, MAX_NAME)}…` : text)
}

/** `[1,784]`. */
export function shapeText(shape: readonly (number | string)[]): string {
  const shown = shape.slice(0, MAX_DIMENSIONS).join(',')
  return shape.length > MAX_DIMENSIONS ? `[${shown},…]` : `[${shown}]`
}

/** `FP32 [-1,784] (N,784)`; the names in parentheses only where the model has some. */
export function specText(spec: TensorSpec): string {
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
