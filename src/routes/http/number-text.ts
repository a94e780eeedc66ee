/** Checks numbers that clients send as text in parameters or as JSON strings. */
import { KindGuard } from '@sinclair/typebox'
import type { TObject, TSchema } from '@sinclair/typebox'
import { ServerError } from '../../errors.ts'

const WHOLE = /^-?\d{1,15}$/

/**
 * Returns an error for the first parameter that must be an integer but is not written in digits.
 * The validator accepts any text that JavaScript converts to a number, and `1e999` would pass every
 * maximum because it becomes infinite.
 */
export function problemWithNumbers(
  { properties }: TObject,
  values: unknown,
): ServerError | undefined {
  if (typeof values !== 'object' || values === null) return undefined
  for (const [name, value] of Object.entries(values)) {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (schema === undefined || isWritten(value, schema)) continue
    const text = `Parameter ${name} must be an integer, written in digits.`
    return new ServerError('BadRequestException', text)
  }
  return undefined
}

/** Whether a value can be a number of the schema. True if the schema has no integer. */
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
  // The validator would read `true` as 1. It reports all other wrong types itself.
  return typeof value !== 'boolean'
}
