/** Parts of a response that REST and gRPC share. */
import { ROWS_HEADER } from '../../../../contract/internal-headers.ts'
import type { WireHeader } from '../../../wire/messages.ts'
import type { ModelMetadata } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { rankOutput } from './classification.ts'
import type { OutputForm } from './output-form.ts'

const NO_HEADERS: readonly WireHeader[] = []

/**
 * Replaces outputs by their classes where the request asks for it. The first dimension of a
 * batchable model is its batch dimension.
 */
export function classify(
  outputs: readonly Tensor[],
  forms: readonly OutputForm[],
  model: ModelMetadata,
): readonly Tensor[] {
  if (forms.every(({ classes }) => classes === 0)) return outputs
  const { batchable: isBatch, labels = [] } = model
  return outputs.map((output, index) => {
    const { name = '', classes = 0 } = forms[index] ?? {}
    if (classes === 0) return output
    const own = model.outputs.find((spec) => spec.name === name && spec.form !== 'label')
    return rankOutput(output, name, classes, { isBatch, labels: own?.labels ?? labels })
  })
}

/** The header with the size of the batch dimension, if it is more than 1. */
export function rowsHeader(
  { batchable }: ModelMetadata,
  inputs: readonly Tensor[],
): readonly WireHeader[] {
  const rows = batchable ? (inputs[0]?.shape[0] ?? 1) : 1
  return rows < 2 ? NO_HEADERS : [[ROWS_HEADER, String(rows)]]
}
