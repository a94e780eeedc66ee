/**
 * Classifiers as converters of scikit-learn write them: a linear classifier of four features whose
 * score of class k is twice feature k, and `ZipMap`, which makes maps of its probabilities.
 */
import { node } from './onnx-builder.ts'
import type { Attribute, ModelSource, NodeSource } from './onnx-builder.ts'

const FEATURES = 4
const FACTOR = 2
export const SPECIES = ['setosa', 'versicolor', 'virginica']

export interface ClassifierOptions {
  /** Texts or numbers. */
  readonly classes?: readonly string[] | readonly number[]
  /** Whether the probabilities become maps. Default true. */
  readonly hasMaps?: boolean
  /** First dimension of the label, which onnxmltools declares as 1. */
  readonly labelRows?: number
  /** Nodes between `ZipMap` and the output; the last one computes `probabilities`. */
  readonly behind?: readonly NodeSource[]
}

/** A model with the outputs `label` and `probabilities`. */
export function classifierModel({
  classes = SPECIES,
  hasMaps = true,
  labelRows,
  behind = [],
}: ClassifierOptions = {}): ModelSource {
  const isText = typeof classes[0] === 'string'
  const scores = hasMaps ? 'scores' : 'probabilities'
  const key = isText ? 'BYTES' : 'INT64'
  const kind = hasMaps ? { kind: 'maps' as const } : {}
  const zipped = behind.length === 0 ? 'probabilities' : 'zipped'
  const zipMap = node('ZipMap', ['scores'], zipped, classList(classes, 'int64s'), 'ai.onnx.ml')
  return {
    inputs: [{ name: 'x', type: 'FP32', shape: ['', FEATURES] }],
    outputs: [
      { name: 'label', type: key, shape: [labelRows ?? ''] },
      { name: 'probabilities', type: hasMaps ? key : 'FP32', shape: ['', classes.length], ...kind },
    ],
    nodes: [
      node('LinearClassifier', ['x'], ['chosen', scores], classifier(classes), 'ai.onnx.ml'),
      node('Identity', ['chosen'], 'label'),
      ...(hasMaps ? [zipMap, ...behind] : []),
    ],
  }
}

/** The class of a row, by its position. */
export function expectedClass(row: readonly number[], count = 3): number {
  const own = row.slice(0, count)
  return own.indexOf(Math.max(...own))
}

/** The probabilities of the classes for a row. */
export function expectedScores(row: readonly number[], count = 3): number[] {
  const powers = Array.from({ length: count }, (_, index) => Math.exp(FACTOR * (row[index] ?? 0)))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

function classifier(
  classes: readonly string[] | readonly number[],
): Readonly<Record<string, Attribute>> {
  const weights = classes.map((_, row) =>
    Array.from({ length: FEATURES }, (_one, column) => (row === column ? FACTOR : 0)),
  )
  return {
    ...classList(classes, 'ints'),
    coefficients: { floats: weights.flat() },
    intercepts: { floats: classes.map(() => 0) },
    multi_class: 1,
    post_transform: 'SOFTMAX',
  }
}

function classList(
  classes: readonly string[] | readonly number[],
  numbers: 'ints' | 'int64s',
): Readonly<Record<string, Attribute>> {
  const name = typeof classes[0] === 'string' ? 'classlabels_strings' : `classlabels_${numbers}`
  return { [name]: classes }
}
