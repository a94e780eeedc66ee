/** What a loaded model says about itself: the answer to `describe`, and what requests are checked against. */
import type { Datatype } from './tensor.ts'

/** One input or output. */
export interface TensorSpec {
  readonly name: string
  readonly datatype: Datatype
  /** -1 stands for a symbolic dimension. */
  readonly shape: readonly number[]
  /** The same with the symbols' names; the empty text is a symbol without one. */
  readonly dimensions: readonly (number | string)[]
  /** The model declares no shape and takes any; `shape` is empty then, as that of a scalar is. */
  readonly anyShape?: boolean
}

export interface ModelMetadata {
  readonly name: string
  /** `onnx` or `image`. */
  readonly handler: string
  readonly version: string
  readonly runtime: { readonly name: string; readonly version: string }
  /** Execution providers asked for, in order of preference. */
  readonly providers: readonly string[]
  /**
   * All first dimensions are symbolic and stand for the batch, so that requests may share a run.
   */
  readonly batchable: boolean
  /** Rows of one request at most, where all first dimensions are the batch; 0 for any number. */
  readonly maxBatchSize: number
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** Class labels, in class order, when `model.json` names a file of them. */
  readonly labels?: readonly string[]
  /** Classes in the answer to a picture; absent for models that do not answer so. */
  readonly topK?: number
}
