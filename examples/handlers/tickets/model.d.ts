// Written by "onnxd types" from tickets. Write it again when the model changes.
import type { OnnxModel, Tensor } from 'onnxd/handler'

export interface Inputs {
  /** INT64 [N,T] */
  readonly input_ids: Tensor<'int64', readonly [number, number]>
  /** INT64 [N,T] */
  readonly attention_mask: Tensor<'int64', readonly [number, number]>
}

export interface Outputs {
  /** FP32 [N,4] */
  readonly logits: Tensor<'float32', readonly [number, 4]>
}

/** The class labels. */
export type Label = 'account' | 'billing' | 'delivery' | 'technical'

export type Model = OnnxModel<Inputs, Outputs, Label>
