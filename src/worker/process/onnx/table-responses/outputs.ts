/** The outputs of a response in the form of a table. */
import { checkScores, outputLabellers } from '../predictions/class-forms.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** An output as one or more columns. */
export interface TableOutput {
  readonly name: string
  readonly tensor: Tensor
  /** Names of the columns, for scores that are an object keyed by label. */
  readonly labels?: readonly string[]
}

/** Returns a function that names the outputs of a run and replaces class numbers by labels. */
export function tableOutputs(
  specs: readonly TensorSpec[],
): (outputs: readonly Tensor[]) => readonly TableOutput[] {
  const labellers = outputLabellers(specs)
  return (outputs) =>
    outputs.map((output, index) => {
      const { name = '', form, labels } = specs[index] ?? {}
      if (form !== 'object' || labels === undefined) {
        return { name, tensor: labellers.get(name)?.(output) ?? output }
      }
      const { shape } = checkScores(name, output, labels.length)
      // A list of scores is one row.
      return {
        name,
        tensor: shape.length === 1 ? { ...output, shape: [1, ...shape] } : output,
        labels,
      }
    })
}
