// Written by "onnxd types" from faces. Write it again when the model changes.
import type { OnnxModel, Tensor } from 'onnxd/handler'

export interface Inputs {
  /** FP32 [N,3,640,640] */
  readonly 'input.1': Tensor<'float32', readonly [number, 3, 640, 640]>
}

export interface Outputs {
  /** FP32 [N,1,160,160] */
  readonly '537': Tensor<'float32', readonly [number, 1, 160, 160]>
  /** FP32 [N,2,160,160] */
  readonly '538': Tensor<'float32', readonly [number, 2, 160, 160]>
  /** FP32 [N,2,160,160] */
  readonly '539': Tensor<'float32', readonly [number, 2, 160, 160]>
  /** FP32 [N,10,160,160] */
  readonly '540': Tensor<'float32', readonly [number, 10, 160, 160]>
}

/** The class labels. */
export type Label = string

export type Model = OnnxModel<Inputs, Outputs>
