// Written by "onnxd types" from pumps. Write it again when the model changes.
import type { OnnxModel, Tensor } from 'onnxd/handler'

export interface Inputs {
  /** BYTES [?,1] */
  readonly kind: Tensor<'string', readonly [number, 1]>
  /** FP32 [?,1] */
  readonly hours: Tensor<'float32', readonly [number, 1]>
  /** FP32 [?,1] */
  readonly temperature: Tensor<'float32', readonly [number, 1]>
  /** FP32 [?,1] */
  readonly vibration: Tensor<'float32', readonly [number, 1]>
  /** FP32 [?,1] */
  readonly pressure: Tensor<'float32', readonly [number, 1]>
}

export interface Outputs {
  /** INT64 [?] */
  readonly label: Tensor<'int64', readonly [number]>
  /** FP32 [?,2] */
  readonly probabilities: Tensor<'float32', readonly [number, 2]>
}

/** The class labels. */
export type Label = string

export type Model = OnnxModel<Inputs, Outputs>
