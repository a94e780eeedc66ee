/** `reshape` of `config.pbtxt`: tensors that clients see in another shape than the model has. */
import type { ModelConfig, TensorConfig } from './model-config.ts'

/**
 * One input or output: `dims` as clients see it, `shape` as the model has it, both without the
 * batch dimension.
 */
export interface TensorReshape {
  readonly name: string
  readonly dims: readonly number[]
  readonly shape: readonly number[]
}

/** The tensors of a model that are reshaped; the worker does it. */
export interface Reshapes {
  readonly inputs: readonly TensorReshape[]
  readonly outputs: readonly TensorReshape[]
}

export const NO_RESHAPES: Reshapes = { inputs: [], outputs: [] }

/** What a `config.pbtxt` says of it. */
export function reshapesOf({ input, output }: ModelConfig): Reshapes {
  return { inputs: input.flatMap(reshapeOf), outputs: output.flatMap(reshapeOf) }
}

function reshapeOf({ name = '', dims, reshape }: TensorConfig): TensorReshape[] {
  return reshape === undefined ? [] : [{ name, dims, shape: reshape }]
}
