/** Reads the JSON of requests to text models: texts, and parameters with checks. */
import { ServerError } from '../../../../errors.ts'
import { quote } from '../../onnx/tensors/error-text.ts'
import { isFields } from '../json-fields.ts'
import type { Fields } from '../json-fields.ts'

/** More texts in one request would keep the worker busy for minutes. */
export const MAX_TEXTS = 2048
/** Members that clients of Hugging Face send and that change no result. */
const IGNORED: readonly string[] = ['options', 'model']

/** One text, or a pair of texts. */
export interface TextInput {
  readonly text: string
  readonly pair?: string
  /** Tokens after the text. */
  readonly ids?: readonly number[]
}

/** The texts of a request; a single text is answered with one result instead of a list. */
export interface TextInputs {
  readonly texts: readonly TextInput[]
  readonly isSingle: boolean
}

/** A request: `inputs`, and all other members. */
export interface TextRequest {
  readonly inputs: unknown
  readonly parameters: Parameters
}

/**
 * Reads a body: a string, a list, or an object with `inputs` and parameters. Parameters may stand
 * in `parameters`, as in the API of Hugging Face, or beside `inputs`.
 */
export function readRequest(body: unknown, query: Fields): TextRequest {
  if (!isFields(body)) return { inputs: body, parameters: new Parameters(query) }
  const { inputs, parameters, ...others } = body
  if (parameters !== undefined && !isFields(parameters)) {
    throw badRequest('"parameters" must be an object.')
  }
  const all: Fields = { ...query, ...others, ...parameters }
  if (inputs !== undefined || !('text' in all)) return { inputs, parameters: new Parameters(all) }
  const { text, text_pair: pair, ...rest } = all
  const input = pair === undefined ? { text } : { text, text_pair: pair }
  return { inputs: input, parameters: new Parameters(rest) }
}

/**
 * As {@link readTexts}; a text may also be `{"ids"}`, a list of token ids.
 * @throws ServerError 400 or 413
 */
export function readTextsOrTokens(inputs: unknown, maxTexts: number): TextInputs {
  const list: readonly unknown[] = Array.isArray(inputs) ? inputs : [inputs]
  checkCount(list.length, maxTexts)
  const texts = list.map((one) => {
    const ids = isFields(one) && Object.keys(one).length === 1 ? one['ids'] : undefined
    if (ids === undefined) return textInput(one, 'inputs')
    return { text: '', ids: tokenIds(ids, 'ids') }
  })
  return { texts, isSingle: !Array.isArray(inputs) }
}

/** @throws ServerError 400 */
export function tokenIds(value: unknown, name: string): readonly number[] {
  if (Array.isArray(value) && value.every((id): id is number => Number.isInteger(id) && id >= 0)) {
    return value
  }
  throw badRequest(`"${name}" must be a list of token ids.`)
}

/** @throws ServerError 400, or 413 for too many texts. */
export function readTexts(inputs: unknown, maxTexts: number): TextInputs {
  if (!Array.isArray(inputs)) return { texts: [textInput(inputs, 'inputs')], isSingle: true }
  checkCount(inputs.length, maxTexts)
  const texts = inputs.map((one: unknown, index) => textInput(one, `inputs[${index}]`))
  return { texts, isSingle: false }
}

/** @throws ServerError 413 */
export function checkCount(count: number, maxTexts: number): void {
  if (count <= maxTexts) return
  const problem = `The request has ${count} texts; the maximum is ${maxTexts}.`
  throw new ServerError('PayloadTooLargeException', problem)
}

function textInput(value: unknown, name: string): TextInput {
  if (typeof value === 'string') return { text: value }
  if (Array.isArray(value)) {
    const [text, pair, ...others] = value as readonly unknown[]
    if (typeof text === 'string' && typeof pair === 'string' && others.length === 0) {
      return { text, pair }
    }
  }
  if (isFields(value)) {
    const { text, text_pair: pair, ...others } = value
    const isPair = pair === undefined || typeof pair === 'string'
    if (typeof text === 'string' && isPair && Object.keys(others).length === 0) {
      return pair === undefined ? { text } : { text, pair }
    }
  }
  const expected = 'a text, a pair of texts, or {"text", "text_pair"}'
  throw badRequest(`"${name}" must be ${expected}.`)
}

/** Tokens that the model has run for a request. */
export interface Work {
  tokens: number
  /** Tokens that only fill up shorter texts. */
  padding: number
}

/** The parameters of a request. Each is read once; then `end` rejects those that nobody read. */
export class Parameters {
  readonly #fields: Fields
  readonly #read = new Set<string>(IGNORED)
  /** Number of tokens of the texts, which the task adds when it encodes them. */
  tokens = 0
  /** What the model has run for the request. */
  readonly work: Work = { tokens: 0, padding: 0 }

  constructor(fields: Fields) {
    this.#fields = fields
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null
  }

  value(name: string): unknown {
    this.#read.add(name)
    return this.#fields[name] ?? undefined
  }

  integer(name: string, least: number, most: number): number | undefined {
    const value = this.value(name)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) {
      return value
    }
    throw badRequest(`"${name}" must be an integer from ${least} to ${most}.`)
  }

  flag(name: string): boolean | undefined {
    const value = this.value(name)
    if (value === undefined || typeof value === 'boolean') return value
    throw badRequest(`"${name}" must be true or false.`)
  }

  text(name: string): string | undefined {
    const value = this.value(name)
    if (value === undefined || typeof value === 'string') return value
    throw badRequest(`"${name}" must be a text.`)
  }

  texts(name: string): readonly string[] | undefined {
    const value = this.value(name)
    if (value === undefined) return undefined
    if (Array.isArray(value) && value.every((one): one is string => typeof one === 'string')) {
      return value
    }
    throw badRequest(`"${name}" must be a list of texts.`)
  }

  choice<T extends string>(name: string, values: readonly T[]): T | undefined {
    const value = this.value(name)
    const chosen = values.find((one) => one === value)
    if (value === undefined || chosen !== undefined) return chosen
    throw badRequest(`"${name}" must be ${values.map((one) => `"${one}"`).join(', ')}.`)
  }

  /** @throws ServerError 400 for a parameter that the task does not have. */
  end(): void {
    const unknown = Object.keys(this.#fields).find((name) => !this.#read.has(name))
    if (unknown === undefined) return
    const known = [...this.#read].filter((name) => !IGNORED.includes(name)).toSorted()
    throw badRequest(
      `The parameter ${quote(unknown)} is unknown; this request takes ${known.join(', ') || 'none'}.`,
    )
  }
}

export function badRequest(message: string): ServerError {
  return new ServerError('InvalidInputException', message)
}
