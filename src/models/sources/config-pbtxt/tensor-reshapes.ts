/** `reshape` in `config.pbtxt`: tensors that have another shape for clients than in the model. */
import type { ModelConfig, TensorConfig } from './model-config.ts'

/**
 * One input or output: `dims` is the shape for clients, `shape` that of the model, both without the
 * batch dimension.
 */
export interface TensorReshape {
  readonly name: string
  readonly dims: readonly number[]
  readonly shape: readonly number[]
}

/** The reshaped tensors of a model. The worker reshapes them. */
export interface Reshapes {
  readonly inputs: readonly TensorReshape[]
  readonly outputs: readonly TensorReshape[]
}

export const NO_RESHAPES: Reshapes = { inputs: [], outputs: [] }

/** Returns the reshapes of a `config.pbtxt`. */
export function reshapesOf({ input, output }: ModelConfig): Reshapes {
  return { inputs: input.flatMap(reshapeOf), outputs: output.flatMap(reshapeOf) }
}

function reshapeOf({ name = '', dims, reshape }: TensorConfig): TensorReshape[] {
  return reshape === undefined ? [] : [{ name, dims, shape: reshape }]
}
