/**
 * The properties of a loaded model: the response to `describe` contains them, and requests are
 * checked against them.
 */
import type { Datatype } from './tensor.ts'

/** One input or output. */
export interface TensorSpec {
  readonly name: string
  readonly datatype: Datatype
  /** -1 stands for a symbolic dimension. */
  readonly shape: readonly number[]
  /** The same dimensions with names instead of -1; an empty name is a symbol without a name. */
  readonly dimensions: readonly (number | string)[]
  /**
   * True when the model declares no shape and accepts any. `shape` is then empty, as for a scalar.
   */
  readonly anyShape?: boolean
  /**
   * True for an input of strings that are whole files. Such an element is kept as Latin-1, one
   * character for each byte.
   */
  readonly holdsFiles?: boolean
  /**
   * Labels of the classes, for an output that a classifier computes, in the order of the classes.
   */
  readonly labels?: readonly string[]
  /**
   * How `/predictions` writes the output, if not as numbers: each class as its label, or each row
   * of scores as an object keyed by label.
   */
  readonly form?: 'label' | 'object'
  /** The number of each class, for the form `label`, if it is not the position of its label. */
  readonly classNumbers?: readonly number[]
}

/** An output that is not a tensor. */
export interface NotServedOutput {
  readonly name: string
  /** Why it is not served, as a sentence. */
  readonly reason: string
  /** What its owner can do, as a sentence. */
  readonly remedy: string
}

/** What a model with a tokenizer does with texts. */
export interface TextDescription {
  /** The name of the task on Hugging Face, for example `text-classification`. */
  readonly task: string
  /** Maximum number of tokens of a text, with special tokens. */
  readonly maxTokens: number
  /** Labels in the order of classes; empty for a task without labels. */
  readonly labels: readonly string[]
  /** Whether requests may name labels of their own (`candidate_labels`). */
  readonly isZeroShot: boolean
  /** The text that marks a masked word. */
  readonly mask?: string
  /** How the vectors of tokens become the vector of a text. */
  readonly pooling?: string
  /** Whether longer texts are cut if the request does not say it. */
  readonly truncates: boolean
  /** Maximum number of texts in a request. */
  readonly maxTexts: number
  /** Maximum number of tokens in a run, with padding. */
  readonly maxBatchTokens: number
}

export interface ModelMetadata {
  readonly name: string
  /** `onnx` or `image`. */
  readonly handler: string
  readonly version: string
  readonly runtime: { readonly name: string; readonly version: string }
  /** Requested execution providers, in order of preference. */
  readonly providers: readonly string[]
  /**
   * True when all first dimensions are symbolic. They are then batch dimensions, so requests may
   * share a run.
   */
  readonly batchable: boolean
  /** Maximum size of the batch dimension of one request; 0 means no limit. */
  readonly maxBatchSize: number
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** Outputs of the model that are not in `outputs`; absent if there are none. */
  readonly notServed?: readonly NotServedOutput[]
  /** Class labels in the order of classes, if the model has a file of them. */
  readonly labels?: readonly string[]
  /**
   * Number of classes in the response to an image; absent for models that do not respond with
   * classes.
   */
  readonly topK?: number
  /** The task that `model.json` declares, such as `detection`. */
  readonly task?: string
  /** Names of the columns of the only input, if `model.json` sets them. */
  readonly columns?: readonly string[]
  /** True when columns of a table that the model does not have are dropped. */
  readonly ignoresExtraColumns?: boolean
  /** Present if the model answers texts. */
  readonly text?: TextDescription
}
