/** What the forms of requests share. */
import { quote } from '../../onnx/tensors/error-text.ts'
import type { Encoder } from '../encoder.ts'
import { listOf } from '../json-fields.ts'
import type { Fields } from '../json-fields.ts'
import { badRequest, tokenIds } from '../requests/text-request.ts'

/** Asks the task of the model for its result, and for the number of tokens of the texts. */
export type Ask = (
  request: Fields,
) => Promise<{ readonly result: unknown; readonly tokens: number }>

/** What forms use of a model. */
export interface FormModel {
  readonly name: string
  readonly ask: Ask
  /** As `ask`, but the result has the vectors of all tokens. */
  readonly askTokens: Ask
  readonly encoder: Encoder
  /** Maximum number of texts in a request. */
  readonly maxTexts: number
  /** Texts to put before a text, by name. */
  readonly prompts: ReadonlyMap<string, string>
}

/** Parameters for texts that are too long. */
export const TRUNCATION = ['truncate', 'truncation_direction']

/**
 * Converts a request to that of the task, and the result to a response.
 * @throws ServerError 4xx
 */
export type Form = (body: Fields, model: FormModel) => unknown

/**
 * Rejects members that a form does not have. The task would understand some of them, but would then
 * respond with something else.
 * @throws ServerError 400
 */
export function checkMembers(body: Fields, known: readonly string[]): void {
  const unknown = Object.keys(body).find((name) => !known.includes(name))
  if (unknown === undefined) return
  throw badRequest(`The member ${quote(unknown)} is unknown; this path takes ${known.join(', ')}.`)
}

/**
 * Returns the texts of a member, which is a text or a list of texts.
 * @throws ServerError 400
 */
export function textsOf(value: unknown, name: string): readonly string[] {
  if (value === undefined || value === null) throw badRequest(`"${name}" is missing.`)
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (list.length === 0) throw badRequest(`"${name}" is empty; send at least one text.`)
  const texts = list.filter((one) => typeof one === 'string')
  if (texts.length === list.length) return texts
  throw badRequest(`"${name}" must be a text or a list of texts.`)
}

/**
 * As {@link textsOf}, but each text may also be a list of token ids, and the member one such list.
 * @throws ServerError 400
 */
export function textsOrTokensOf(value: unknown, name: string): readonly unknown[] {
  const list = listOf(value)
  if (list.length > 0 && list.every((one) => typeof one === 'number')) {
    return [{ ids: tokenIds(list, name) }]
  }
  if (!list.some((one) => Array.isArray(one))) return textsOf(value, name)
  return list.map((one) => (typeof one === 'string' ? one : { ids: tokenIds(one, name) }))
}
