/** The outputs of a model as `/predictions` writes them. */
import type { TensorMetadata } from '../../models/model-metadata.ts'
import { elementSchema, nestedArrays, nestedSchema } from '../tensor-schemas.ts'
import type { JsonSchema } from '../types.ts'

/** Generated clients have one property for each label, so more labels become the keys of a map. */
const MAX_PROPERTIES = 64
/** Labels of which every generator makes a name. */
const NAME = /^[A-Za-z][A-Za-z0-9_]*$/

/** Schema of one output in a response. */
export function outputSchema(output: TensorMetadata): JsonSchema {
  if (output.form !== 'object') return nestedSchema(output, 'answer')
  const { labels = [], shape, dimensions } = output
  const rows = { ...output, shape: shape.slice(0, 1), dimensions: dimensions.slice(0, 1) }
  return nestedArrays(rows, rowSchema(labels, elementSchema(output.datatype, 'answer')))
}

/** One row of scores: an object keyed by label. */
function rowSchema(labels: readonly string[], score: JsonSchema): JsonSchema {
  const names = new Set(labels.map((label) => label.toLowerCase().replaceAll('_', '')))
  const isNamed = labels.every((label) => NAME.test(label)) && names.size === labels.length
  const description = 'The score of each class, by label.'
  if (!isNamed || labels.length > MAX_PROPERTIES) {
    const keys = labels.length > MAX_PROPERTIES ? '' : ` Labels: ${labels.join(', ')}.`
    return { type: 'object', description: `${description}${keys}`, additionalProperties: score }
  }
  return {
    type: 'object',
    description,
    required: labels,
    properties: Object.fromEntries(labels.map((label) => [label, score])),
  }
}
