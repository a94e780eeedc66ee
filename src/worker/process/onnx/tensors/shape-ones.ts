/**
 * Dimensions of 1 hold nothing: with more or fewer of them a tensor has the same elements in the
 * same order.
 */

/** onnxruntime has no operators for higher ranks. */
const MAX_RANK = 64

type Shapes = readonly (readonly number[])[]

/**
 * The model's shape, -1 for open dimensions, for a shape that differs from it in dimensions of 1:
 * those that the given shape has too many are left out, those that the model fixes are added. An
 * open dimension is never made up: a missing batch is a mistake. `undefined` where nothing fits, or
 * more than one shape does.
 */
export function placeOnes(
  model: readonly number[],
  given: readonly number[],
): readonly number[] | undefined {
  if (Math.max(model.length, given.length) > MAX_RANK) return undefined
  // For the given shape from each index on, what fits the model's dimensions from the current axis
  // on.
  let fitting: Shapes[] = [...given.keys(), given.length].map((index) =>
    given.slice(index).every((size) => size === 1) ? [[]] : [],
  )
  for (const own of model.toReversed()) {
    const behind = fitting
    fitting = []
    for (let index = given.length; index >= 0; index--) {
      const size = given[index]
      const leftOut = size === 1 ? (fitting[index + 1] ?? []) : []
      const madeUp = own === 1 ? prepend(1, behind[index]) : []
      const taken =
        size !== undefined && (own < 0 || (own !== 1 && own === size))
          ? prepend(size, behind[index + 1])
          : []
      fitting[index] = firstTwo([...leftOut, ...madeUp, ...taken])
    }
  }
  const [only, ...others] = fitting[0] ?? []
  return others.length === 0 ? only : undefined
}

function prepend(size: number, shapes: Shapes = []): Shapes {
  return shapes.map((shape) => [size, ...shape])
}

/** Two different shapes are enough to know that there is more than one. */
function firstTwo(shapes: Shapes): Shapes {
  const [first, ...others] = shapes
  if (first === undefined) return []
  const second = others.find((shape) => shape.join() !== first.join())
  return second === undefined ? [first] : [first, second]
}
