/**
 * Implements `reshape` of Triton's `config.pbtxt`: clients see a tensor with another shape than the
 * model.
 */
import { ServerError } from '../../../../errors.ts'
import type { TensorReshape } from '../../handler.ts'
import { quote, shapeText, specText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { elementCount } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** The two shapes of one input or output, including the batch dimension. */
export interface Reshaping {
  /** The specification for clients. */
  readonly shown: TensorSpec
  /** The model's shape; -1 for variable dimensions. */
  readonly shape: readonly number[]
}

/**
 * Computes the reshaping of a model's input or output. If the model has one dimension more than
 * `reshape`, and it is variable, it is the batch dimension and stays the first.
 * @throws ServerError `InvalidModelException` when the shapes do not match.
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
      : 'both shapes must have the same number of elements and of open dimensions'
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

/** Converts a client's tensor to the model's shape. */
export function toModel(tensor: Tensor, reshaping: Reshaping | undefined): Tensor {
  if (reshaping === undefined) return tensor
  return { ...tensor, shape: carryOpen(reshaping.shown.shape, tensor.shape, reshaping.shape) }
}

/**
 * Converts a tensor of the model to the shape for clients.
 * @throws ServerError 400 when its shape differs from the configuration
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
      `Output ${quote(shown.name)} has the shape ${got}, but the reshape in config.pbtxt requires ${shapeText(own)}.`,
    )
  }
  return { ...tensor, shape: carryOpen(own, tensor.shape, shown.shape) }
}

/**
 * Returns `target` with its variable dimensions replaced, in order, by the sizes of the variable
 * dimensions in `pattern`.
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
