/**
 * Numbers of clients that are written as text: in a query, a field of a form, or a string of JSON.
 */
import { KindGuard } from '@sinclair/typebox'
import type { TObject, TSchema } from '@sinclair/typebox'
import { ServerError } from '../../errors.ts'

const WHOLE = /^-?\d{1,15}$/

/**
 * An error of the first parameter that has to be a whole number and is not written as one. The
 * validator reads any text that JavaScript takes for a number, and lets `1e999` pass every maximum,
 * because it is infinite.
 */
export function problemWithNumbers(
  { properties }: TObject,
  values: unknown,
): ServerError | undefined {
  if (typeof values !== 'object' || values === null) return undefined
  for (const [name, value] of Object.entries(values)) {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (schema === undefined || isWritten(value, schema)) continue
    const text = `Parameter ${name} must be a whole number, written in digits.`
    return new ServerError('BadRequestException', text)
  }
  return undefined
}

/** Whether a value can be a number of a schema, or the schema is not about numbers. */
function isWritten(value: unknown, schema: TSchema): boolean {
  if (KindGuard.IsUnion(schema)) {
    const isAboutNumbers = schema.anyOf.some(({ type }) => type === 'integer')
    return !isAboutNumbers || schema.anyOf.some((one) => isOneOf(value, one))
  }
  return schema.type !== 'integer' || isOneOf(value, schema)
}

function isOneOf(value: unknown, { const: word, type }: TSchema): boolean {
  if (word !== undefined) return value === word
  if (type !== 'integer') return true
  if (typeof value === 'string') return WHOLE.test(value)
  // `true` would be read as 1. The validator says what is wrong with everything else.
  return typeof value !== 'boolean'
}
