// Written by "onnxd types" from ocr-detector. Write it again when the model changes.
import type { OnnxModel, Tensor } from 'onnxd/handler'

export interface Inputs {
  /** FP32 [p2o.DynamicDimension.0,3,p2o.DynamicDimension.1,p2o.DynamicDimension.2] */
  readonly x: Tensor<'float32', readonly [number, 3, number, number]>
}

export interface Outputs {
  /** FP32 [p2o.DynamicDimension.3,1,p2o.DynamicDimension.4,p2o.DynamicDimension.5] */
  readonly 'sigmoid_0.tmp_0': Tensor<'float32', readonly [number, 1, number, number]>
}

/** The class labels. */
export type Label = string

export type Model = OnnxModel<Inputs, Outputs>
