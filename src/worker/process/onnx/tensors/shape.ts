/**
 * Checks the shapes of a request against the model's before the run, because onnxruntime would
 * broadcast or guess.
 */
import { ServerError } from '../../../../errors.ts'
import { countText, quote, shapeText, specText } from './error-text.ts'
import type { TensorSpec } from './metadata.ts'
import { placeOnes } from './shape-ones.ts'
import { elementCount } from './tensor.ts'
import type { Tensor } from './tensor.ts'

/** Whether the rank and every fixed dimension agree. */
export function fitsShape(spec: TensorSpec, shape: readonly number[]): boolean {
  if (spec.anyShape === true) return true
  if (spec.shape.length !== shape.length) return false
  return spec.shape.every((dimension, axis) => dimension < 0 || dimension === shape[axis])
}

/**
 * Adapts a declared shape to the model: it may differ in dimensions of size 1, which change neither
 * the number of elements nor their order. Triton's clients send `[1]` for a scalar and `[N,1]` for
 * `[N]`.
 * @throws ServerError 400 that names the input, the expected and the given shape.
 */
export function fitDeclaredShape(spec: TensorSpec, shape: readonly number[]): readonly number[] {
  if (fitsShape(spec, shape)) return shape
  const fitted = placeOnes(spec.shape, shape)
  if (fitted === undefined) throw shapeError(spec, shape)
  return fitted
}

export function shapeError(spec: TensorSpec, shape: readonly number[]): ServerError {
  return new ServerError(
    'InvalidInputException',
    `Input ${quote(spec.name)}: expected ${specText(spec)}, got shape ${shapeText(shape)}.`,
  )
}

/**
 * Checks that a declared shape fits the model and has `count` elements.
 * @returns The shape in the model's form.
 * @throws ServerError 400
 */
export function checkDeclaredShape(
  spec: TensorSpec,
  shape: readonly number[],
  count: number,
): readonly number[] {
  const fitted = fitDeclaredShape(spec, shape)
  const expected = elementCount(shape)
  if (expected === count) return fitted
  const wanted = Number.isSafeInteger(expected)
    ? countText(expected, 'element')
    : 'more elements than supported'
  throw new ServerError(
    'InvalidInputException',
    `Input ${quote(spec.name)}: shape ${shapeText(shape)} requires ${wanted}, got ${count}.`,
  )
}

/**
 * Checks that inputs whose first dimensions have the same symbol, the batch, have the same size
 * there. Other symbols are not compared: exporters give one name to dimensions that may differ, and
 * onnxruntime does not compare them either.
 * @throws ServerError 400
 */
export function checkBatch(specs: readonly TensorSpec[], tensors: readonly Tensor[]): void {
  if (specs.length < 2) return
  const sizes = new Map<string, { size: number; input: string }>()
  for (const [index, spec] of specs.entries()) {
    const [symbol] = spec.dimensions
    if (typeof symbol !== 'string' || symbol === '') continue
    const size = tensors[index]?.shape[0] ?? 0
    const seen = sizes.get(symbol)
    if (seen === undefined) sizes.set(symbol, { size, input: spec.name })
    else if (seen.size !== size) {
      throw new ServerError(
        'InvalidInputException',
        `Inputs ${quote(seen.input)} and ${quote(spec.name)} differ in dimension ${quote(symbol)}: ${seen.size} and ${size}.`,
      )
    }
  }
}

/**
 * Computes the shape of `count` elements without a declared shape, if the model has at most one
 * variable dimension. Returns `undefined` when it has more, or when the count does not fit.
 */
export function deduceShape(spec: TensorSpec, count: number): readonly number[] | undefined {
  const open = spec.shape.filter((dimension) => dimension < 0).length
  if (open > 1 || spec.anyShape === true) return undefined
  const fixed = elementCount(spec.shape.map(Math.abs))
  if (open === 0) return fixed === count ? spec.shape : undefined
  if (fixed === 0 || count % fixed !== 0) return undefined
  return spec.shape.map((dimension) => (dimension < 0 ? count / fixed : dimension))
}

/**
 * Returns the shape of an input that is given as one element without a shape.
 * @throws ServerError 400
 */
export function shapeOfOne(spec: TensorSpec): readonly number[] {
  return spec.anyShape === true ? [1] : adaptShape(spec, [], 1)
}

/**
 * Adapts the shape of nested arrays to the model. Besides the exact shape it accepts: a flat array
 * of all elements, one sample without the batch dimension, more or fewer dimensions of size 1, and
 * an empty array.
 * @throws ServerError 400 when none of them fits.
 */
export function adaptShape(
  spec: TensorSpec,
  shape: readonly number[],
  count: number,
): readonly number[] {
  if (fitsShape(spec, shape)) return shape
  const candidates: (readonly number[] | undefined)[] = [
    shape.length < 2 ? deduceShape(spec, count) : undefined,
    (spec.shape[0] ?? 0) < 0 || spec.shape[0] === 1 ? [1, ...shape] : undefined,
    placeOnes(spec.shape, shape),
    count === 0 ? completeEmpty(spec, shape) : undefined,
  ]
  const fitting = candidates.find(
    (candidate) => candidate !== undefined && fitsShape(spec, candidate),
  )
  if (fitting === undefined || elementCount(fitting) !== count) throw shapeError(spec, shape)
  return fitting
}

/** In JSON, dimensions after a dimension of 0 cannot be written: they are taken from the model. */
function completeEmpty(spec: TensorSpec, shape: readonly number[]): readonly number[] {
  return spec.shape.map((dimension, axis) => shape[axis] ?? Math.max(dimension, 0))
}

/**
 * Checks the batch dimension of a model with a maximum batch size: all inputs must have the same
 * size, and it must not exceed the limit.
 * @throws ServerError 400
 */
export function checkRows(
  specs: readonly TensorSpec[],
  tensors: readonly Tensor[],
  maxBatchSize: number,
): void {
  const rows = tensors[0]?.shape[0] ?? 0
  for (const [index, { shape }] of tensors.entries()) {
    if (shape[0] === rows) continue
    const [first = '', other = ''] = [specs[0]?.name, specs[index]?.name]
    throw new ServerError(
      'InvalidInputException',
      `Inputs ${quote(first)} and ${quote(other)} differ in their batch dimension: ${rows} and ${shape[0]}.`,
    )
  }
  if (rows > maxBatchSize) throw batchError(rows, maxBatchSize)
}

/** The error of a request with too many rows. */
export function batchError(rows: number, maxBatchSize: number): ServerError {
  return new ServerError(
    'InvalidInputException',
    `The batch dimension of the request is ${rows}, but the maximum of the model is ${maxBatchSize}.`,
  )
}
