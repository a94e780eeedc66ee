/** Turns the output of a model into one vector for each image. */
import type { TaskSettings } from '../../../../model-folder/task-settings.ts'
import { toShortSingle } from '../image/classes.ts'
import { quote, specListText, specText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { numbersOf, partOf } from './numbers.ts'
import type { Numbers } from './numbers.ts'
import { invalidTask, otherCount, otherShape } from './task-errors.ts'

const POOLED_NAME = /pool|embed|feature/i

export interface FeaturePlan {
  readonly output: string
  readonly pooling: 'mean' | 'first'
  readonly isNormalized: boolean
}

/** @throws ServerError `InvalidModelException` when it is unclear which output has the features. */
export function planFeatures(
  specs: readonly TensorSpec[],
  { pooling = 'mean', normalize = false }: TaskSettings,
  output?: string,
): FeaturePlan {
  const floats = specs.filter(({ datatype }) => ['FP16', 'FP32', 'FP64'].includes(datatype))
  const named = floats.filter(({ name }) => POOLED_NAME.test(name))
  const fitting =
    output !== undefined
      ? floats.filter(({ name }) => name === output)
      : floats.length === 1
        ? floats
        : named
  const [only, ...others] = fitting
  if (only === undefined || others.length > 0) {
    throw invalidTask(
      `set "output" to the output with the features; the model has ${specListText(specs)}`,
    )
  }
  if (only.shape.length < 2 || only.shape.length > 4) {
    throw invalidTask(
      `output ${quote(only.name)}, ${specText(only)}, cannot be features; it must be [N,D], [N,positions,D] or [N,D,H,W]`,
    )
  }
  return { output: only.name, pooling, isNormalized: normalize }
}

/** The vector of each image. */
export function featuresOf(
  { pooling, isNormalized }: FeaturePlan,
  output: Tensor,
  images: number,
): readonly (readonly number[])[] {
  const { shape } = output
  if (shape[0] !== images) throw otherCount(shape, images)
  if (shape.length < 2 || shape.length > 4)
    throw otherShape(shape, '[N,D], [N,positions,D] or [N,D,H,W]')
  const data = numbersOf(output)
  return Array.from({ length: images }, (_, image) => {
    const vector = pooled(partOf(data, images, image), shape, pooling)
    return [...(isNormalized ? unitVector(vector) : vector)].map(toShortSingle)
  })
}

/** [D] as it is; [D,H,W] as the mean of all places; [positions,D] as `pooling` says. */
function pooled(data: Numbers, shape: readonly number[], pooling: 'mean' | 'first'): Numbers {
  const [, second = 0, third = 0] = shape
  if (shape.length < 3) return data
  if (shape.length === 3) {
    return pooling === 'first' ? data.subarray(0, third) : meanOf(data, third, (at) => at % third)
  }
  const places = second === 0 ? 0 : data.length / second
  return meanOf(data, second, (at) => Math.floor(at / places))
}

/** The mean of the elements that belong to each place of the vector. */
function meanOf(data: Numbers, length: number, placeOf: (at: number) => number): Numbers {
  const sums = new Float64Array(length)
  for (const [at, value] of data.entries()) {
    const place = placeOf(at)
    sums[place] = (sums[place] ?? 0) + value
  }
  return sums.map((sum) => sum / (data.length / length))
}

/** A vector of zeros stays as it is. */
function unitVector(vector: Numbers): Numbers {
  // Divided by the largest element first, so that squares do not overflow.
  let largest = 0
  for (const value of vector) largest = Math.max(largest, Math.abs(value))
  if (largest === 0) return vector
  const scaled = Float64Array.from(vector, (value) => value / largest)
  const length = Math.sqrt(scaled.reduce((sum, value) => sum + value * value, 0))
  return scaled.map((value) => value / length)
}
