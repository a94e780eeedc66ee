import { WARM_UP_LINE } from '../../../../contract/worker-lines.ts'
import { messageOf } from '../../../../errors.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { allocateData } from '../tensors/tensor.ts'
import type { Tensor } from '../tensors/tensor.ts'
import type { OnnxSession } from './session.ts'

/** Larger inputs than this would cost more memory than the first request is worth. */
const MAX_ELEMENTS = 16 * 1024 * 1024

/**
 * Runs a model once before it is called ready, on zeros with every open dimension 1: the first run
 * allocates and may be a hundred times slower than the second. A model that does not like zeros is
 * none the worse for it.
 */
export function warmUp(session: OnnxSession): void {
  const inputs = session.inputs.map(zeros)
  if (!inputs.every((input) => input !== undefined)) return
  console.log(WARM_UP_LINE)
  try {
    session.run(
      inputs,
      session.outputs.map(({ name }) => name),
    )
  } catch (error) {
    console.log(`The warm-up run failed: ${messageOf(error, 500)}`)
  }
}

/** `undefined` where the size is not known, or too much. */
function zeros({ datatype, shape: declared, anyShape }: TensorSpec): Tensor | undefined {
  if (anyShape === true) return undefined
  const shape = declared.map((dimension) => (dimension < 0 ? 1 : dimension))
  const count = shape.reduce((product, dimension) => product * dimension, 1)
  if (count > MAX_ELEMENTS) return undefined
  if (datatype === 'BYTES')
    return { datatype, shape, data: Array.from({ length: count }, () => '') }
  return { datatype, shape, data: allocateData(datatype, count) }
}
