/**
 * Decides whether the outputs of a model have one entry for each instance, as responses of `/v1`
 * should.
 */
import { ServerError } from '../../../../errors.ts'
import type { ModelMetadata, TensorSpec } from '../tensors/metadata.ts'
import { allocateData } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'

type Run = (inputs: readonly Tensor[], outputNames: readonly string[]) => readonly Tensor[]

/** Larger inputs are not used for a trial run. */
const MAX_ELEMENTS = 1024 * 1024
/** Numbers of instances in the trial runs. */
const TRIED_ROWS = [2, 3] as const

/**
 * Compares the names of the first dimensions: a detector's output, for example, has the boxes of
 * all instances in its own dimension. If a dimension has no name (scikit-learn's converter writes
 * none), the model runs with two and with three instances of zeros. The result depends only on the
 * model, so all its responses have the same form.
 */
export function hasEntryPerInstance(model: ModelMetadata, run: Run): boolean {
  return entriesByNames(model) ?? givesAsManyRows(model, run)
}

/**
 * As {@link hasEntryPerInstance}, for a model whose run takes time.
 * @param examples Valid inputs: the zeros have their sizes, except for the first dimension.
 * @throws the error of the run, unless it rejects the zeros with a status below 500.
 */
export async function hasEntryPerInstanceLater(
  model: ModelMetadata,
  examples: readonly Tensor[],
  run: (inputs: readonly Tensor[]) => Promise<readonly Tensor[]>,
): Promise<boolean> {
  const known = entriesByNames(model)
  if (known !== undefined) return known
  try {
    for (const rows of TRIED_ROWS) {
      const zeros = model.inputs.map((spec, index) => zerosOf(spec, rows, examples[index]?.shape))
      const outputs = await run(zeros)
      if (outputs.some(({ shape }) => shape[0] !== rows)) return false
    }
    return true
  } catch (error) {
    const isRejected = error instanceof ServerError && error.statusCode < 500
    if (isRejected || error instanceof RangeError) return false
    throw error
  }
}

/** What the first dimensions say; `undefined` if only a run can tell. */
function entriesByNames({ inputs, outputs, maxBatchSize }: ModelMetadata): boolean | undefined {
  if (inputs.length === 0 || outputs.length === 0) return false
  // The configuration says that every first dimension is the batch dimension.
  if (maxBatchSize > 0) return true
  const first = [...inputs, ...outputs].map(({ dimensions: [size] }) => nameOf(size))
  if (first.includes(undefined)) return false
  // If the sizes differ, every response has the same mismatch and is rejected.
  if (first.every((size) => typeof size === 'number')) return true
  const names = new Set(first.filter((size) => size !== ''))
  if (names.size > 1) return false
  return first.includes('') ? undefined : true
}

/**
 * The size or the name of a dimension. Empty for a dimension without a name, or with a number that
 * tf2onnx gives each dimension.
 */
function nameOf(size: number | string | undefined): number | string | undefined {
  return typeof size === 'string' && /^unk__\d+$/.test(size) ? '' : size
}

function givesAsManyRows({ inputs, outputs }: ModelMetadata, run: Run): boolean {
  try {
    return TRIED_ROWS.every((rows) => {
      const zeros = inputs.map((spec) => zerosOf(spec, rows))
      const names = outputs.map(({ name }) => name)
      return run(zeros, names).every(({ shape }) => shape[0] === rows)
    })
  } catch {
    return false
  }
}

/** @throws RangeError when an input is too large for a trial run */
function zerosOf(
  { datatype, shape: own }: TensorSpec,
  rows: number,
  example: readonly number[] = [],
): Tensor {
  const shape = own.map((size, axis) => {
    if (size >= 0) return size
    return axis === 0 ? rows : (example[axis] ?? 1)
  })
  const count = shape.reduce((product, size) => product * size, 1)
  if (count > MAX_ELEMENTS) throw new RangeError('an input is too large for a trial run')
  return datatype === 'BYTES'
    ? { datatype, shape, data: Array.from({ length: count }, () => '') }
    : { datatype, shape, data: allocateData(datatype, count) }
}
