/** Text classification in the form of text-embeddings-inference. */
import type { Fields } from '../json-fields.ts'
import { listOf } from '../json-fields.ts'
import { badRequest } from '../requests/text-request.ts'
import { TRUNCATION, checkMembers } from './form.ts'
import type { Form } from './form.ts'

const PREDICT = ['model', 'inputs', 'raw_scores', ...TRUNCATION]
const ALL_LABELS = 10_000

/**
 * `POST /predict`: a text, a pair of two texts, or a list of lists with one or two texts. Returns
 * all labels.
 */
export const answerPredict: Form = async (body, { ask }) => {
  checkMembers(body, PREDICT)
  const { inputs, ...options } = body
  const rows = listOf(inputs)
  const isList = rows.length > 0 && rows.every((row) => Array.isArray(row))
  const texts = isList ? rows.map(textOf) : [textOf(inputs)]
  const answer = listOf((await ask({ ...options, inputs: texts, top_k: ALL_LABELS })).result)
  return isList ? answer : answer[0]
}

function textOf(value: unknown): Fields {
  const parts: readonly unknown[] = Array.isArray(value) ? value : [value]
  const [text, pair, ...others] = parts
  const isPair = pair === undefined || typeof pair === 'string'
  if (typeof text === 'string' && isPair && others.length === 0) {
    return pair === undefined ? { text } : { text, text_pair: pair }
  }
  throw badRequest(
    '"inputs" must be a text, a pair of texts, or a list of lists of one or two texts.',
  )
}
