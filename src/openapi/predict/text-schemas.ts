/** Request and response bodies of `POST /predictions/{model}` for a model that answers texts. */
import { textExample } from '../../models/examples/text-examples.ts'
import type { TextMetadata } from '../../models/model-metadata.ts'
import type { JsonSchema, RequestBody, Response } from '../types.ts'

const STRING = { type: 'string' }
const NUMBER = { type: 'number', format: 'float' }
const INDEX = { type: 'integer', minimum: 0 }
const STRINGS = { type: 'array', items: STRING }
/** One text is answered with one result, a list of texts with a list. */
const INPUTS = {
  anyOf: [STRING, STRINGS],
  description: 'A text, or a list of texts. A pair of texts is a list of two texts in the list.',
}
const TOP_K = { type: 'integer', minimum: 1, description: 'Maximum number of results.' }
const TRUNCATION = {
  truncate: {
    type: 'boolean',
    description: 'Cut a text that is too long; otherwise the response is 413.',
  },
  truncation_direction: {
    type: 'string',
    enum: ['left', 'right'],
    description: 'Where a text that is too long is cut. Default: as `tokenizer.json` says.',
  },
}
const FORMATS = ['float', 'base64', 'int8', 'uint8', 'binary', 'ubinary']
const AGGREGATIONS = ['none', 'simple', 'first', 'average', 'max']

/** How a task is documented. */
interface Form {
  /** What the model does, as a sentence. */
  readonly sentence: string
  readonly required: readonly string[]
  readonly properties: Readonly<Record<string, JsonSchema>>
  readonly result: JsonSchema
  /** Whether the result may also be a list of results. */
  readonly hasList: boolean
}

/** Request: an object with texts and parameters. */
export function textRequest(text: TextMetadata, typeName: string): RequestBody {
  const { sentence, required, properties } = formOf(text, typeName)
  // Question answering reads a long context in parts.
  const isCut = text.task !== 'question-answering'
  const schema = {
    $id: `${typeName}PredictRequest`,
    type: 'object',
    required,
    properties: { ...properties, ...(isCut ? TRUNCATION : {}) },
    additionalProperties: false,
  }
  return {
    required: true,
    description: `${sentence} A text has at most ${text.maxTokens} tokens. The text alone, as a JSON string or as \`text/plain\`, is accepted as well.`,
    content: {
      'application/json': { schema, examples: { smallest: { value: textExample(text) } } },
      ...('inputs' in properties ? { 'text/plain': { schema: STRING } } : {}),
    },
  }
}

/** Response: one result, or a list of them. */
export function textResponse(text: TextMetadata, typeName: string): Response {
  const { sentence, result, hasList } = formOf(text, typeName)
  const schema = hasList
    ? { $id: `${typeName}PredictResponse`, anyOf: [result, { type: 'array', items: result }] }
    : { ...result, $id: `${typeName}PredictResponse` }
  const rule = hasList ? ' One result for one text, a list of results for a list of texts.' : ''
  return {
    description: `${sentence}${rule}`,
    content: { 'application/json': { schema } },
  }
}

function formOf(text: TextMetadata, typeName: string): Form {
  switch (text.task) {
    case 'text-classification':
      return text.isZeroShot ? zeroShot(text, typeName) : classification(text, typeName)
    case 'text-ranking':
      return ranking(typeName)
    case 'token-classification':
      return tokenClassification(text, typeName)
    case 'question-answering':
      return questionAnswering(typeName)
    case 'fill-mask':
      return fillMask(text, typeName)
    case 'sparse-embedding':
      return sparse(typeName)
    default:
      return embedding()
  }
}

function classification({ labels }: TextMetadata, typeName: string): Form {
  return {
    sentence: 'Classifies texts: the labels with the highest scores, the best first.',
    required: ['inputs'],
    properties: {
      inputs: INPUTS,
      top_k: TOP_K,
      function_to_apply: { type: 'string', enum: ['softmax', 'sigmoid', 'none'] },
      raw_scores: { type: 'boolean', description: 'Return the scores of the model itself.' },
    },
    result: arrayOf(object(`${typeName}Label`, { label: labelSchema(labels), score: NUMBER })),
    hasList: true,
  }
}

function zeroShot(text: TextMetadata, typeName: string): Form {
  const plain = classification(text, typeName)
  const result = object(`${typeName}Candidates`, {
    sequence: STRING,
    labels: STRINGS,
    scores: arrayOf(NUMBER),
  })
  return {
    ...plain,
    sentence: 'Classifies texts, and with `candidate_labels` chooses among labels of the request.',
    properties: {
      ...plain.properties,
      candidate_labels: { ...STRINGS, description: 'Labels to choose from.' },
      hypothesis_template: { type: 'string', description: 'A text with {} for the label.' },
      multi_label: { type: 'boolean', description: 'Whether several labels can be right.' },
    },
    result: { anyOf: [plain.result, result] },
  }
}

function ranking(typeName: string): Form {
  return {
    sentence: 'Ranks texts for a query, the best first.',
    required: ['query', 'texts'],
    properties: {
      query: STRING,
      texts: STRINGS,
      top_k: TOP_K,
      raw_scores: { type: 'boolean', description: 'Return the scores of the model itself.' },
      return_text: { type: 'boolean', description: 'Return the texts as well.' },
    },
    result: arrayOf(
      object(`${typeName}Rank`, { index: INDEX, score: NUMBER, text: STRING }, ['text']),
    ),
    hasList: false,
  }
}

function tokenClassification({ labels }: TextMetadata, typeName: string): Form {
  const groups = [...new Set(labels.map((label) => label.replace(/^[BIESLU]-/, '')))]
  const span = {
    entity_group: labelSchema(groups),
    entity: labelSchema(labels),
    score: NUMBER,
    index: INDEX,
    word: STRING,
    text: STRING,
    start: { ...INDEX, description: 'First character in the text, counted in code points.' },
    end: { ...INDEX, description: 'The character after the last one.' },
  }
  return {
    sentence: 'Finds spans of texts and their labels, such as names.',
    required: ['inputs'],
    properties: {
      inputs: INPUTS,
      aggregation_strategy: { type: 'string', enum: AGGREGATIONS },
      ignore_labels: STRINGS,
    },
    result: arrayOf(object(`${typeName}Span`, span, ['entity_group', 'entity', 'index', 'text'])),
    hasList: true,
  }
}

function questionAnswering(typeName: string): Form {
  const answer = { score: NUMBER, start: INDEX, end: INDEX, answer: STRING }
  return {
    sentence: 'Finds the part of a context that answers a question.',
    required: ['question', 'context'],
    properties: {
      question: STRING,
      context: STRING,
      top_k: TOP_K,
      doc_stride: { ...INDEX, description: 'Tokens that two windows of the context share.' },
      max_seq_len: { type: 'integer', minimum: 8 },
      max_answer_len: { type: 'integer', minimum: 1 },
      handle_impossible_answer: { type: 'boolean' },
      align_to_words: { type: 'boolean' },
    },
    result: object(`${typeName}Answer`, answer),
    hasList: true,
  }
}

function fillMask({ mask = '[MASK]' }: TextMetadata, typeName: string): Form {
  const word = { score: NUMBER, token: INDEX, token_str: STRING, sequence: STRING }
  return {
    sentence: `Finds words for ${mask} in texts.`,
    required: ['inputs'],
    properties: { inputs: INPUTS, top_k: TOP_K, targets: STRINGS },
    result: arrayOf(object(`${typeName}Word`, word)),
    hasList: true,
  }
}

function sparse(typeName: string): Form {
  return {
    sentence: 'Returns weights of the tokens that matter for a text (sparse embeddings).',
    required: ['inputs'],
    properties: { inputs: INPUTS },
    result: arrayOf(object(`${typeName}Weight`, { index: INDEX, value: NUMBER, token: STRING })),
    hasList: true,
  }
}

function embedding(): Form {
  return {
    sentence: 'Returns embeddings of texts; with `source_sentence`, similarities.',
    required: [],
    properties: {
      inputs: INPUTS,
      normalize: { type: 'boolean', description: 'Scale each vector to length 1.' },
      dimensions: { type: 'integer', minimum: 1, description: 'Number of values to keep.' },
      encoding_format: { type: 'string', enum: FORMATS },
      prompt: STRING,
      prompt_name: STRING,
      source_sentence: { type: 'string', description: 'The text to compare with `sentences`.' },
      sentences: STRINGS,
    },
    result: { anyOf: [arrayOf(NUMBER), STRING] },
    hasList: true,
  }
}

function labelSchema(labels: readonly string[]): JsonSchema {
  return labels.length === 0 ? STRING : { type: 'string', enum: [...new Set(labels)] }
}

function arrayOf(items: JsonSchema): JsonSchema {
  return { type: 'array', items }
}

function object(
  id: string,
  properties: Readonly<Record<string, JsonSchema>>,
  optional: readonly string[] = [],
): JsonSchema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name))
  return { $id: id, type: 'object', required, properties }
}
