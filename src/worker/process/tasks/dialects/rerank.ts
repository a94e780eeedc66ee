/** Ranking of texts in the form of Cohere, and in that of text-embeddings-inference. */
import { fieldsOf, isFields, listOf } from '../json-fields.ts'
import type { Fields } from '../json-fields.ts'
import { Parameters, badRequest } from '../requests/text-request.ts'
import { TRUNCATION, checkMembers, textsOf } from './form.ts'
import type { Form } from './form.ts'

const COHERE = ['model', 'query', 'documents', 'top_n', 'return_documents', 'truncate']
const TEI = ['model', 'query', 'texts', 'raw_scores', 'return_text', ...TRUNCATION]
const MAX_TOP_N = 10_000

/** `POST /v1/rerank`. As in Cohere, long documents are cut if the request does not say. */
export const answerRerank: Form = async (body, { ask, name }) => {
  checkMembers(body, COHERE)
  const { model = name, truncate } = body
  const parameters = new Parameters(body)
  const count = parameters.integer('top_n', 1, MAX_TOP_N)
  const returns = parameters.flag('return_documents') ?? false
  const texts = documentsOf(body['documents'])
  const { result, tokens } = await ask({
    query: queryOf(body),
    texts,
    truncate: truncate ?? true,
    top_k: count,
  })
  return {
    model,
    results: listOf(result).map((one) => {
      const { index, score } = fieldsOf(one)
      const document = returns ? { document: { text: texts[Number(index)] } } : {}
      return { index, relevance_score: score, ...document }
    }),
    meta: { tokens: { input_tokens: tokens } },
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  }
}

/** `POST /rerank`: a body with `texts` is in the form of TEI, any other in that of Cohere. */
export const answerTeiRerank: Form = async (body, model) => {
  if (!('texts' in body)) return answerRerank(body, model)
  checkMembers(body, TEI)
  const { texts, ...options } = body
  return (await model.ask({ ...options, query: queryOf(body), texts: textsOf(texts, 'texts') }))
    .result
}

function queryOf({ query }: Fields): string {
  if (typeof query === 'string') return query
  throw badRequest('"query" must be a text.')
}

/** Documents are texts, or objects with `text`. */
function documentsOf(value: unknown): readonly string[] {
  const list = listOf(value).map((one) => (isFields(one) ? one['text'] : one))
  return textsOf(Array.isArray(value) ? list : value, 'documents')
}
