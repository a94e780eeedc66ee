/** Embeddings in the form of OpenAI, and in that of text-embeddings-inference. */
import { fieldsOf, isFields, listOf } from '../json-fields.ts'
import { badRequest } from '../requests/text-request.ts'
import { TRUNCATION, checkMembers, textsOrTokensOf } from './form.ts'
import type { Form } from './form.ts'

const COMMON = ['model', 'truncate', 'normalize', 'dimensions', 'prompt', 'prompt_name']
const EMBEDDINGS = ['input', 'encoding_format', 'user', ...COMMON]
const TEI_EMBED = ['inputs', 'truncation_direction', ...COMMON]
const TEI_TOKENS = ['inputs', 'model', ...TRUNCATION, 'prompt', 'prompt_name']
const TEI_SPARSE = ['inputs', 'model', ...TRUNCATION]
const TEI_SIMILARITY = ['inputs', 'parameters', 'model']

/** `POST /v1/embeddings` */
export const answerEmbeddings: Form = async (body, { ask, name }) => {
  checkMembers(body, EMBEDDINGS)
  const { input, model = name, user: _, ...options } = body
  const { result, tokens } = await ask({ ...options, inputs: textsOrTokensOf(input, 'input') })
  return {
    object: 'list',
    data: listOf(result).map((embedding, index) => ({ object: 'embedding', index, embedding })),
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  }
}

/** `POST /embed`: always a list of vectors, which are normalised if the request does not say. */
export const answerTeiEmbed: Form = async (body, { ask }) => {
  checkMembers(body, TEI_EMBED)
  const { inputs, normalize, ...options } = body
  const texts = textsOrTokensOf(inputs, 'inputs')
  return (await ask({ ...options, normalize: normalize ?? true, inputs: texts })).result
}

/** `POST /embed_all`: for each text, the vectors of its tokens. */
export const answerTeiEmbedAll: Form = async (body, { askTokens }) => {
  checkMembers(body, TEI_TOKENS)
  return (await askTokens({ ...body, inputs: textsOrTokensOf(body['inputs'], 'inputs') })).result
}

/** `POST /embed_sparse`: for each text, the weights of tokens by their id. */
export const answerTeiEmbedSparse: Form = async (body, { ask }) => {
  checkMembers(body, TEI_SPARSE)
  const { result } = await ask({ ...body, inputs: textsOrTokensOf(body['inputs'], 'inputs') })
  return listOf(result).map((weights) =>
    listOf(weights).map((weight) => {
      const { index, value } = fieldsOf(weight)
      return { index, value }
    }),
  )
}

/** `POST /similarity` */
export const answerTeiSimilarity: Form = async (body, { ask }) => {
  checkMembers(body, TEI_SIMILARITY)
  const { inputs, parameters } = body
  const { source_sentence, sentences } = fieldsOf(inputs)
  if (!isFields(inputs) || typeof source_sentence !== 'string' || !Array.isArray(sentences)) {
    throw badRequest('"inputs" must be {"source_sentence": a text, "sentences": a list of texts}.')
  }
  checkMembers(inputs, ['source_sentence', 'sentences'])
  const options = fieldsOf(parameters)
  checkMembers(options, [...TRUNCATION, 'prompt_name'])
  return (await ask({ ...options, source_sentence, sentences })).result
}
