/** What the forms of requests share. */
import { quote } from '../../onnx/tensors/error-text.ts'
import type { Fields } from '../json-fields.ts'
import { badRequest } from '../text-request.ts'

/** Asks the task of the model; returns its result and the number of tokens of the texts. */
export type Ask = (request: Fields) => { readonly result: unknown; readonly tokens: number }

/**
 * Converts a request to that of the task, and the result to a response.
 * @param model Name of the model.
 * @throws ServerError 4xx
 */
export type Form = (body: Fields, ask: Ask, model: string) => unknown

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
  if (list.every((one) => typeof one === 'number' || Array.isArray(one))) {
    throw badRequest(`"${name}" has token ids; send texts, which the server tokenizes itself.`)
  }
  throw badRequest(`"${name}" must be a text or a list of texts.`)
}
