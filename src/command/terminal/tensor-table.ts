/** Inputs and outputs of a model as a table. */
import { memberOf } from '../json.ts'
import { tableText } from './table.ts'
import type { Terminal } from './terminal.ts'

/**
 * Returns a line per tensor; empty if there are none. A custom handler may have written them, so
 * they can be any value.
 */
export function tensorTable(tensors: unknown, terminal: Terminal): string {
  if (!Array.isArray(tensors) || tensors.length === 0) return ''
  return tableText(
    [{ title: '', canShrink: true }, { title: '' }, { title: '', canShrink: true }],
    tensors.map((tensor) => [
      String(memberOf(tensor, 'name')),
      String(memberOf(tensor, 'datatype')),
      shapeText(tensor),
    ]),
    terminal,
    '  ',
  )
}

/** Symbolic dimensions stand with their names, unnamed ones as `?`. */
export function shapeText(tensor: unknown): string {
  if (memberOf(tensor, 'anyShape') === true) return '[any shape]'
  const shape = memberOf(tensor, 'shape')
  const names = memberOf(tensor, 'dimensions')
  if (!Array.isArray(shape)) return ''
  const dimensions = shape.map((size, index) => {
    if (size !== -1) return String(size)
    const name: unknown = Array.isArray(names) ? names[index] : undefined
    return typeof name === 'string' && name !== '' ? name : '?'
  })
  return `[${dimensions.join(', ')}]`
}
