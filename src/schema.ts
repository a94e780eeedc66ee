/** Small additions to TypeBox for both processes. */
import { Kind, KindGuard, Type, TypeRegistry } from '@sinclair/typebox'
import type { SchemaOptions, Static, TObject, TSchema, TUnsafe } from '@sinclair/typebox'
import { Value, ValueErrorType } from '@sinclair/typebox/value'
import { closestName } from './closest-name.ts'

const STRING_ENUM = 'StringEnum'

TypeRegistry.Set<{ enum: readonly string[] }>(
  STRING_ENUM,
  (schema, value) => typeof value === 'string' && schema.enum.includes(value),
)

/**
 * A schema for one of several strings. It becomes an `enum`, which JSON Schema and OpenAPI tools
 * read best; a union of literals would become `anyOf`.
 */
export function stringEnum<const T extends string>(
  values: readonly T[],
  options: SchemaOptions = {},
): TUnsafe<T> {
  return Type.Unsafe<T>({ ...options, [Kind]: STRING_ENUM, type: 'string', enum: values })
}

/**
 * Returns one line that says where and why `value` does not fit `schema`; `undefined` if it fits.
 */
export function problemWith(schema: TSchema, value: unknown): string | undefined {
  const problem = Value.Errors(schema, value).First()
  if (problem === undefined) return undefined
  const place = problem.path === '' ? 'the value' : problem.path.slice(1).replaceAll('/', '.')
  const { schema: wantedSchema } = problem
  if (problem.type === ValueErrorType.ObjectAdditionalProperties) {
    const key = place.split('.').at(-1) ?? place
    const { properties } = wantedSchema as Partial<TObject>
    // Any name that fits a pattern is a key.
    if (properties === undefined) return `${place}: this name is not allowed`
    const known = closestName(key, Object.keys(properties))
    return `${place}: unknown key${known === undefined ? '' : `; the closest one is ${known}`}`
  }
  let wanted = problem.message
    .replace(/to be less or equal to (\S+)$/, 'of at most $1')
    .replace(/to be greater or equal to (\S+)$/, 'of at least $1')
  if ('enum' in wantedSchema) wanted = `Expected one of ${String(wantedSchema.enum)}`
  if (KindGuard.IsUnion(wantedSchema))
    wanted = `Expected ${wantedSchema.anyOf.map(shortTextOf).join(' or ')}`
  return `${place}: ${wanted}, got ${shortJson(problem.value)}`
}

/** At most 100 characters. `JSON.stringify` fails on values with thousands of levels. */
function shortJson(value: unknown): string {
  try {
    return (JSON.stringify(value) ?? 'nothing').slice(0, 100)
  } catch {
    return 'a value with too many levels'
  }
}

/** For example `auto`, `integer from 0 to 60000`, `object with height and width`. */
function shortTextOf({
  const: word,
  type,
  minimum,
  maximum,
  exclusiveMinimum,
  required,
}: TSchema): string {
  if (word !== undefined) return String(word)
  if (Array.isArray(required)) return `object with ${required.join(' and ')}`
  const above = exclusiveMinimum === undefined ? '' : ` above ${exclusiveMinimum}`
  const from = minimum === undefined ? above : ` from ${minimum}`
  return `${type}${from}${maximum === undefined ? '' : ` to ${maximum}`}`
}

/** Whether `value` fits `schema`. */
export function fits<T extends TSchema>(schema: T, value: unknown): value is Static<T> {
  return Value.Check(schema, value)
}
