import { ServerError } from '../../../../errors.ts'
import type { ModelSettings } from '../../../../model-folder/settings.ts'
import { countText, quote, shapeText, specListText, specText } from '../tensors/error-text.ts'
import { halfToNumber } from '../tensors/half.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Datatype, Tensor } from '../tensors/tensor.ts'

const DEFAULT_TOP_K = 5
const FLOAT_DATATYPES: readonly Datatype[] = ['FP16', 'FP32', 'FP64']

/** How the scores of a classifier become a response. It does not change after the load. */
export interface ClassPlan {
  /** Name of the output with the scores, [N,classes]. */
  readonly output: string
  readonly labels: readonly string[]
  readonly topK: number
  readonly softmax: boolean
}

/** One class of a response. */
export interface RankedClass {
  /** The label, or the index as text when the model has no labels. */
  readonly class: string
  readonly index: number
  readonly probability: number
}

/**
 * Finds the output with class scores: the one that the settings name, otherwise the only float
 * output, if its shape is [N,classes] (further dimensions of size 1 are allowed). Returns
 * `undefined` when the model is not a classifier.
 * @throws ServerError `InvalidModelException` when the named output is missing or cannot hold
 * scores, or when the number of labels differs from the number of classes.
 */
export function planClasses(
  outputs: readonly TensorSpec[],
  settings: ModelSettings,
  labels: readonly string[] = [],
): ClassPlan | undefined {
  const output = chooseOutput(outputs, settings.output)
  if (output === undefined) return undefined
  const classes = output.shape[1] ?? -1
  if (labels.length > 0 && classes !== -1 && labels.length !== classes) {
    throw new ServerError(
      'InvalidModelException',
      `There are ${countText(labels.length, 'label')}, but output ${quote(output.name)} has ${classes} classes.`,
    )
  }
  const { topK = DEFAULT_TOP_K, softmax = false } = settings
  return { output: output.name, labels, topK, softmax }
}

/**
 * Returns the best classes of every row of scores, the best first. Of equal scores, the lower index
 * comes first.
 */
export function rankClasses(scores: Tensor, plan: ClassPlan): readonly (readonly RankedClass[])[] {
  const [rows = 0, classes = 0] = scores.shape
  // A model may declare no sizes, or others than it returns.
  if (rows * classes !== scores.data.length) {
    throw new ServerError(
      'InternalServerException',
      `The model returned class scores of shape ${shapeText(scores.shape)}; they must be [N,classes].`,
    )
  }
  const values = toNumbers(scores)
  return Array.from({ length: rows }, (_, row) => {
    const own = values.subarray(row * classes, (row + 1) * classes)
    const probabilities = plan.softmax ? toProbabilities(own) : own
    return highest(probabilities, plan.topK).map((index) => ({
      class: plan.labels[index] ?? String(index),
      index,
      probability: toShortSingle(probabilities[index] ?? 0),
    }))
  })
}

function chooseOutput(
  outputs: readonly TensorSpec[],
  name: string | undefined,
): TensorSpec | undefined {
  if (name === undefined) {
    const [only, ...others] = outputs.filter(isFloat)
    return only !== undefined && others.length === 0 && isScores(only) ? only : undefined
  }
  const named = outputs.find((output) => output.name === name)
  if (named === undefined) {
    throw new ServerError(
      'InvalidModelException',
      `model.json names output ${quote(name)}; the model has ${specListText(outputs)}.`,
    )
  }
  if (isFloat(named) && isScores(named)) return named
  throw new ServerError(
    'InvalidModelException',
    `Output ${quote(name)}, ${specText(named)}, cannot be used as class scores: it must be float [N,classes].`,
  )
}

function isFloat({ datatype }: TensorSpec): boolean {
  return FLOAT_DATATYPES.includes(datatype)
}

/** An output with a single class is a number, such as an age, and not a choice. */
function isScores({ shape: [, classes, ...rest] }: TensorSpec): boolean {
  return classes !== undefined && classes !== 1 && rest.every((size) => size === 1)
}

function toNumbers({ datatype, data }: Tensor): Float64Array {
  const values = new Float64Array(data.length)
  for (const [index, element] of data.entries()) {
    values[index] = datatype === 'FP16' ? halfToNumber(Number(element)) : Number(element)
  }
  return values
}

/** Softmax. The highest score is subtracted first, because `exp` would overflow. */
function toProbabilities(scores: Float64Array): Float64Array {
  const highestScore = scores.reduce(
    (best, score) => Math.max(best, score),
    Number.NEGATIVE_INFINITY,
  )
  const powers = scores.map((score) => Math.exp(score - highestScore))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

/** The number with the fewest digits that is the same float32: 0.1, not 0.10000000149011612. */
export function toShortSingle(value: number): number {
  const single = Math.fround(value)
  for (let precision = 6; precision < 9; precision++) {
    const short = Number(single.toPrecision(precision))
    if (Math.fround(short) === single) return short
  }
  return single
}

/**
 * Indices of the `count` highest values in order, NaN last. A full sort of 20 000 classes would
 * cost more than a small model.
 */
function highest(values: Float64Array, count: number): readonly number[] {
  const keys = values.map((value) => (Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value))
  const best: number[] = []
  const keyAt = (place: number): number => keys[best[place] ?? 0] ?? 0
  for (const [index, key] of keys.entries()) {
    if (best.length === count && key <= keyAt(count - 1)) continue
    let place = best.length
    while (place > 0 && key > keyAt(place - 1)) place--
    best.splice(place, 0, index)
    if (best.length > count) best.pop()
  }
  return best
}
