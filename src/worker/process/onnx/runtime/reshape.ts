/**
 * `reshape` of Triton's `config.pbtxt`: clients see a tensor in one shape, the model has it in
 * another.
 */
import { ServerError } from '../../../../errors.ts'
import type { TensorReshape } from '../../handler.ts'
import { quote, shapeText, specText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { elementCount } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** The two shapes of one input or output, the batch dimension included. */
export interface Reshaping {
  /** As clients have it. */
  readonly shown: TensorSpec
  /** As the model has it, -1 for open dimensions. */
  readonly shape: readonly number[]
}

/**
 * The reshaping of a model's input or output. Where the model has one dimension more than
 * `reshape`, that is the batch, which stays in front.
 * @throws ServerError `InvalidModelException` when the shapes do not go together.
 */
export function reshapingOf(spec: TensorSpec, { dims, shape }: TensorReshape): Reshaping {
  const hasBatch = spec.shape.length === shape.length + 1 && (spec.shape[0] ?? 0) < 0
  const batch = hasBatch ? [-1] : []
  const own = [...batch, ...shape]
  const fits =
    spec.anyShape === true ||
    (own.length === spec.shape.length &&
      spec.shape.every((size, axis) => size < 0 || (own[axis] ?? 0) < 0 || own[axis] === size))
  const isSame =
    openIn(dims) === openIn(shape) &&
    elementCount(dims.map(Math.abs)) === elementCount(shape.map(Math.abs))
  if (!fits || !isSame) {
    const problem = isSame
      ? `the model has ${specText(spec)}`
      : 'both must have as many elements, and as many open dimensions'
    throw new ServerError(
      'InvalidModelException',
      `config.pbtxt reshapes ${quote(spec.name)} from ${shapeText(dims)} to ${shapeText(shape)}: ${problem}.`,
    )
  }
  const names = dims.map((size) => (size < 0 ? '' : size))
  return {
    shown: {
      name: spec.name,
      datatype: spec.datatype,
      shape: [...batch, ...dims],
      dimensions: hasBatch ? [spec.dimensions[0] ?? '', ...names] : names,
    },
    shape: own,
  }
}

/** A tensor of clients as the model has it. */
export function toModel(tensor: Tensor, reshaping: Reshaping | undefined): Tensor {
  if (reshaping === undefined) return tensor
  return { ...tensor, shape: carryOpen(reshaping.shown.shape, tensor.shape, reshaping.shape) }
}

/**
 * A tensor of the model as clients have it.
 * @throws ServerError 400 when it is not as the configuration says
 */
export function toClient(tensor: Tensor, reshaping: Reshaping | undefined): Tensor {
  if (reshaping === undefined) return tensor
  const { shown, shape: own } = reshaping
  const isExpected =
    tensor.shape.length === own.length &&
    own.every((size, axis) => size < 0 || size === tensor.shape[axis])
  if (!isExpected) {
    const got = shapeText(tensor.shape)
    throw new ServerError(
      'InvalidInputException',
      `Output ${quote(shown.name)} has the shape ${got}, which config.pbtxt does not reshape: it says ${shapeText(own)}.`,
    )
  }
  return { ...tensor, shape: carryOpen(own, tensor.shape, shown.shape) }
}

/**
 * `target` with its open dimensions filled, in order, with the sizes that those of `pattern` have.
 */
function carryOpen(
  pattern: readonly number[],
  sizes: readonly number[],
  target: readonly number[],
): readonly number[] {
  const open = sizes.filter((_, axis) => (pattern[axis] ?? 0) < 0)
  let next = 0
  return target.map((size) => (size < 0 ? (open[next++] ?? 1) : size))
}

function openIn(shape: readonly number[]): number {
  return shape.filter((size) => size < 0).length
}
