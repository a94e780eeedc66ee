/** Rules of operators whose result is a size, or a constant of the graph. */
import { ONE, fixedDim, productOf } from '../dimension.ts'
import { fixed, known, knownList } from '../flow.ts'
import { shapeOf, storedShape } from '../node-view.ts'
import type { Rule } from '../node-view.ts'

export const shape: Rule = (node) => {
  const whole = shapeOf(node.input(0))
  const [start, end] = [node.number('start', 0), node.number('end', whole.length)]
  return [knownList(whole.slice(start, end))]
}

export const size: Rule = (node) => [known([], [productOf(shapeOf(node.input(0)))])]

/** A constant of the graph. */
export const constant: Rule = (node) => {
  const tensor = node.tensor('value')
  if (tensor !== undefined) {
    const dims = storedShape(tensor)
    const values = tensor.values?.map(fixedDim)
    return [{ kind: 'fixed', shape: dims, values }]
  }
  for (const name of ['value_int', 'value_float']) {
    if (node.has(name)) return [known([], [fixedDim(node.number(name, 0))])]
  }
  for (const name of ['value_ints', 'value_floats']) {
    const values = node.has(name) ? node.list(name) : undefined
    if (values !== undefined) return [knownList(values.map(fixedDim))]
  }
  return [fixed()]
}

/** The product of a list of sizes. Other reductions use `otherwise`. */
export function productOfList(otherwise: Rule): Rule {
  return (node) => {
    const input = node.input(0)
    const isPlain = node.number('noop_with_empty_axes', 0) === 0
    const isList =
      isPlain && input.kind !== 'batched' && input.values !== undefined && input.shape?.length === 1
    if (!isList) return otherwise(node)
    const isKept = node.number('keepdims', 1) !== 0
    return [known(isKept ? [ONE] : [], [productOf(input.values ?? [])])]
  }
}
