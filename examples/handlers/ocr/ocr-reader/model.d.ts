// Written by "onnxd types" from ocr-reader. Write it again when the model changes.
import type { OnnxModel, Tensor } from 'onnxd/handler'

export interface Inputs {
  /** FP32 [p2o.DynamicDimension.0,3,48,p2o.DynamicDimension.1] */
  readonly x: Tensor<'float32', readonly [number, 3, 48, number]>
}

export interface Outputs {
  /** FP32 [p2o.DynamicDimension.2,p2o.DynamicDimension.3,6625] */
  readonly 'softmax_11.tmp_0': Tensor<'float32', readonly [number, number, 6625]>
}

/** The class labels. */
export type Label = string

export type Model = OnnxModel<Inputs, Outputs>
