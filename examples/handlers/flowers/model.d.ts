// Written by "onnxd types" from flowers. Write it again when the model changes.
import type { OnnxModel, Tensor } from 'onnxd/handler'

export interface Inputs {
  /** FP32 [N,4] */
  readonly features: Tensor<'float32', readonly [number, 4]>
}

export interface Outputs {
  /** INT64 [N] */
  readonly label: Tensor<'int64', readonly [number]>
  /** FP32 [N,3] */
  readonly probabilities: Tensor<'float32', readonly [number, 3]>
}

/** The class labels. */
export type Label = 'setosa' | 'versicolor' | 'virginica'

export type Model = OnnxModel<Inputs, Outputs, Label>
