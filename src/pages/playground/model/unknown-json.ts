/** Reads values of JSON documents whose form is not known. */

/** The members of an object; none for other values. */
export function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {}
}

/** A member of an object, if it is the object's own. */
export function memberOf(value: unknown, ...names: readonly string[]): unknown {
  return names.reduce<unknown>((from, name) => {
    const members = membersOf(from)
    return Object.hasOwn(members, name) ? members[name] : undefined
  }, value)
}

/** The elements of an array; none for other values. */
export function elementsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : []
}

/** The texts in an array. */
export function textsOf(value: unknown): readonly string[] {
  return elementsOf(value).filter((element) => typeof element === 'string')
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** Replaces `{"$ref": "#/components/…"}` by what it names, on all levels of a schema. */
export function resolved(schema: unknown, document: unknown, depth = 0): unknown {
  if (depth > MAX_DEPTH) return {}
  if (Array.isArray(schema)) return schema.map((item) => resolved(item, document, depth + 1))
  const reference = textOf(memberOf(schema, '$ref'))
  if (reference !== undefined) {
    const target = memberOf(document, ...reference.replace(/^#\//, '').split('/'))
    return resolved(target, document, depth + 1)
  }
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, resolved(value, document, depth + 1)]),
  )
}

const MAX_DEPTH = 40
