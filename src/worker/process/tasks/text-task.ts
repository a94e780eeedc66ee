/** The interface of the tasks, and what they share. */
import { ServerError } from '../../../errors.ts'
import type { RunModel } from '../onnx/codec.ts'
import type { TensorSpec } from '../onnx/tensors/metadata.ts'
import type { Encoded, Encoder } from './encoder.ts'
import { MAX_TEXTS } from './requests/text-request.ts'
import type { Parameters, TextInput, TextRequest } from './requests/text-request.ts'
import type { TextRuns } from './text-runs.ts'

/** What a model with a tokenizer does with the texts of a request. */
export interface TextTask {
  /**
   * Resolves with the JSON value of the response.
   * @throws ServerError 4xx for a request that cannot be answered.
   */
  answer(request: TextRequest, run: RunModel): Promise<unknown>

  /**
   * For each text, the vectors of its tokens. Only embeddings have them.
   * @param maxNumbers Maximum number of values of all vectors.
   */
  tokenVectors?(request: TextRequest, run: RunModel, maxNumbers: number): Promise<unknown>
}

/** Facts about the model that tasks need. */
export interface TaskModel {
  readonly encoder: Encoder
  readonly outputs: readonly TensorSpec[]
  readonly runs: TextRuns
  readonly labels: readonly string[]
  /** Whether longer texts are cut if the request does not say it. */
  readonly truncates: boolean
  readonly isMultiLabel: boolean
  /** Number of classes in a response if the request does not say it. */
  readonly topK: number
  /** Maximum number of texts in a request; 0 for the default. */
  readonly maxTexts: number
}

/** Returns the maximum number of texts in a request. */
export function maxTextsOf({ maxTexts }: TaskModel): number {
  return maxTexts > 0 ? Math.min(maxTexts, MAX_TEXTS) : MAX_TEXTS
}

/** As text-embeddings-inference and as Hugging Face write them. */
const DIRECTIONS = ['right', 'left', 'Right', 'Left'] as const

/**
 * Encodes texts as the parameters `truncate` and `truncation_direction` say, and counts their
 * tokens.
 */
export function encodeAll(
  { encoder, truncates }: TaskModel,
  texts: readonly TextInput[],
  parameters: Parameters,
): readonly Encoded[] {
  const cuts = parameters.flag('truncate') ?? truncates
  const direction = parameters.choice('truncation_direction', DIRECTIONS)?.toLowerCase()
  const cutsLeft = direction === undefined ? undefined : direction === 'left'
  return texts.map((text) => {
    const encoded = encoder.encode(text, cuts ? 'longest' : 'none', cutsLeft)
    parameters.tokens += encoded.ids.length
    return encoded
  })
}

/**
 * Returns the output with one of the names, else the only float output of the right rank.
 * @param rank Number of dimensions, with that of the batch.
 * @throws ServerError `InvalidModelException` when there is none.
 */
export function outputFor(
  outputs: readonly TensorSpec[],
  names: readonly string[],
  rank: number,
): TensorSpec {
  const fitting = outputs.filter(
    ({ datatype, shape }) => datatype.startsWith('FP') && shape.length === rank,
  )
  const named = names.flatMap((name) => fitting.filter((one) => one.name === name))
  const [chosen] = named.length > 0 ? named : fitting
  if (chosen !== undefined && (named.length > 0 || fitting.length === 1)) return chosen
  throw new ServerError(
    'InvalidModelException',
    `The model has no output ${names.map((name) => JSON.stringify(name)).join(' or ')} with ${rank} dimensions. Set "task": "none" in model.json to serve its tensors.`,
  )
}
