/**
 * Rules of operators for classical models (`ai.onnx.ml`), which work on tables with one row per
 * sample.
 */
import { ONE, fixedDim } from '../dimension.ts'
import { batched, fixed } from '../flow.ts'
import type { Batched } from '../flow.ts'
import type { NodeView, Rule } from '../node-view.ts'
import { NotProved } from '../not-proved.ts'
import { concatenated } from './joining.ts'

/** Attributes that list the classes. */
const LABELS = ['classlabels_ints', 'classlabels_int64s', 'classlabels_strings']

/** Each row becomes a row with another number of columns. */
export const rowsOfScores: Rule = (node) => {
  const [rows = ONE] = tableOf(node).shape
  return [batched([rows, node.names.fresh()], 0)]
}

/**
 * One label for each row, and a row of scores. The number of scores is known if the model lists
 * more than one class.
 */
export const classifier: Rule = (node) => {
  const [rows = ONE] = tableOf(node).shape
  const classes = LABELS.map((name) => node.countOf(name) ?? 0).find((count) => count > 1)
  const width = classes === undefined ? node.names.fresh() : fixedDim(classes)
  return [batched([rows], 0), batched([rows, width], 0)]
}

/** Rows keep their number of columns. */
export const rowsAsTheyAre: Rule = (node) => [tableOf(node)]

/** Each element becomes a list of 0 and 1 along a new last axis. */
export const oneHotEncoder: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind !== 'batched') return [fixed()]
  const texts = node.countOf('cats_strings')
  const numbers = node.countOf('cats_int64s')
  const size =
    texts === undefined || numbers === undefined
      ? node.names.fresh()
      : fixedDim(Math.max(texts, numbers))
  return [batched([...data.shape, size], data.axis)]
}

/** Concatenates columns. */
export const featureVectorizer: Rule = (node) => {
  if (node.given.some(({ shape }) => shape?.length !== 2)) {
    throw new NotProved('treats the batch as one row')
  }
  return [concatenated(node.given, 1, node.names)]
}

/** Picks elements from the last axis. */
export const featureExtractor: Rule = (node) => {
  node.requireFixed(0)
  const data = node.input(0)
  if (data.kind !== 'batched') return [fixed()]
  const last = data.shape.length - 1
  if (data.axis >= last) throw new NotProved('selects elements across the whole batch')
  return [batched(data.shape.with(last, node.names.fresh()), data.axis)]
}

/** One map for each row. */
export const mapOfRow: Rule = (node) => {
  const { shape } = tableOf(node)
  return [batched(shape, 0)]
}

/** A list of words keeps its length, unless stop words are removed. */
export const stringNormalizer: Rule = (node) => {
  const data = node.input(0)
  if (data.kind === 'fixed') return [fixed()]
  if (node.countOf('stopwords') !== 0) {
    throw new NotProved('removes elements, which changes the batch dimension')
  }
  const { shape, axis } = node.batchedInput(0)
  if (shape.length !== 1) throw new NotProved('supports only one row')
  return [batched(shape, axis)]
}

/** Distances of each row to the model's rows. */
export const distances: Rule = (node) => {
  const [rows = ONE] = tableOf(node).shape
  return [batched([rows, node.input(1).shape?.[0] ?? node.names.fresh()], 0)]
}

/**
 * The first input, a table with one row per sample.
 * @throws NotProved for other shapes.
 */
function tableOf(node: NodeView): Batched {
  node.requireFixed(0)
  const data = node.batchedInput(0)
  if (data.shape.length !== 2 || data.axis !== 0) throw new NotProved('treats the batch as one row')
  return data
}
