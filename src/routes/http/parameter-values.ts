/**
 * Converts the texts of parameters to the types of their schema. The rules are the same for
 * queries, forms and JSON bodies.
 */
import { KindGuard } from '@sinclair/typebox'
import type { TObject, TSchema } from '@sinclair/typebox'
import { ServerError } from '../../errors.ts'

/** Parameters by name, the input of {@link readValues}: texts and lists of texts. */
export type ParameterTexts = Readonly<Record<string, unknown>>

const TRUE = ['true', '1']
const FALSE = ['false', '0']
/** Plain digits only: `1e999` would become infinite, and readers interpret `0x10` differently. */
const WHOLE = /^-?\d{1,15}(?:\.0{1,15})?$/
const NUMBER = /^-?\d{1,15}(?:\.\d{1,15})?$/
const MAX_SHOWN = 100

/**
 * The values of the parameters in `schema`. Other parameters are returned unchanged. An empty text
 * means the default. A list accepts one text or several.
 * @throws ServerError `BadRequestException` that names the parameter.
 */
export function readValues({ properties }: TObject, texts: ParameterTexts): ParameterTexts {
  const values: Record<string, unknown> = {}
  for (const [name, text] of Object.entries(texts)) {
    if (!Object.hasOwn(properties, name)) values[name] = text
  }
  for (const [name, schema] of Object.entries(properties)) {
    const text = Object.hasOwn(texts, name) ? texts[name] : undefined
    const value: unknown = isAbsent(text) ? schema.default : readValue(name, schema, text)
    if (value !== undefined) values[name] = value
  }
  return values
}

function isAbsent(text: unknown): boolean {
  return text === undefined || text === ''
}

function readValue(name: string, schema: TSchema, given: unknown): unknown {
  if (KindGuard.IsArray(schema)) return readList(name, schema, given)
  if (typeof given !== 'string') throw wrong(name, 'must be given once')
  const value = readText(schema, given)
  if (value !== undefined) return value
  if (isBlank(schema, given)) return schema.default
  throw wrong(name, `must be ${wantedOf(schema)}, not ${JSON.stringify(given.slice(0, MAX_SHOWN))}`)
}

function readList(name: string, schema: TSchema, given: unknown): unknown {
  const list: unknown[] = [given].flat()
  if (list.length > Number(schema.maxItems ?? Number.POSITIVE_INFINITY)) {
    throw wrong(name, `must be given at most ${schema.maxItems} times`)
  }
  return list
}

/** The value of a text, `undefined` if the text does not fit the schema. */
function readText(schema: TSchema, text: string): unknown {
  if (KindGuard.IsUnion(schema)) {
    return schema.anyOf.map((one) => readText(one, text)).find((value) => value !== undefined)
  }
  if (KindGuard.IsLiteral(schema)) return schema.const === text.trim() ? schema.const : undefined
  switch (schema.type) {
    case 'boolean':
      return readBoolean(text)
    case 'integer':
    case 'number':
      return readNumber(schema, text)
    default:
      return fitsText(schema, text) ? text : undefined
  }
}

/** White space alone counts as empty for a number or a boolean, but not for a string. */
function isBlank(schema: TSchema, text: string): boolean {
  return text.trim() === '' && schema.type !== 'string'
}

function readBoolean(text: string): boolean | undefined {
  const word = text.trim().toLowerCase()
  if (TRUE.includes(word)) return true
  return FALSE.includes(word) ? false : undefined
}

function readNumber(schema: TSchema, text: string): number | undefined {
  const form = schema.type === 'integer' ? WHOLE : NUMBER
  const number = form.test(text) ? Number(text) : Number.NaN
  const isFit =
    number >= Number(schema.minimum ?? Number.NEGATIVE_INFINITY) &&
    number <= Number(schema.maximum ?? Number.POSITIVE_INFINITY)
  // Adding 0 changes minus zero to zero.
  return isFit ? number + 0 : undefined
}

function fitsText({ enum: values, pattern, maxLength }: TSchema, text: string): boolean {
  if (Array.isArray(values) && !values.includes(text)) return false
  if (typeof maxLength === 'number' && text.length > maxLength) return false
  return typeof pattern !== 'string' || new RegExp(pattern, 'u').test(text)
}

/** Text for error messages: `an integer from 1 to 65536`, `true or false`. */
function wantedOf(schema: TSchema): string {
  if (KindGuard.IsUnion(schema)) return schema.anyOf.map(wantedOf).join(' or ')
  if (KindGuard.IsLiteral(schema)) return JSON.stringify(schema.const)
  if (Array.isArray(schema.enum)) return `one of ${schema.enum.join(', ')}`
  switch (schema.type) {
    case 'boolean':
      return 'true or false'
    case 'integer':
    case 'number':
      return `${schema.type === 'integer' ? 'an integer' : 'a number'}${rangeOf(schema)}`
    default:
      return schema.pattern === undefined
        ? `a string of at most ${schema.maxLength} characters`
        : `a string that matches ${schema.pattern}`
  }
}

function rangeOf({ minimum, maximum }: TSchema): string {
  if (minimum === undefined) return maximum === undefined ? '' : ` of at most ${maximum}`
  return maximum === undefined ? ` from ${minimum}` : ` from ${minimum} to ${maximum}`
}

function wrong(name: string, problem: string): ServerError {
  return new ServerError('BadRequestException', `Parameter ${name} ${problem}.`)
}
