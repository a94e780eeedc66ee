import type { JsonSchema, OpenApiVersion } from './types.ts'

/** Keywords whose value is a schema, a list of schemas, or schemas by name. */
const SCHEMAS = new Set(['items', 'additionalProperties'])
const SCHEMA_LISTS = new Set(['anyOf', 'oneOf', 'allOf'])

/**
 * Writes the schemas of one document so that both versions of OpenAPI and the generators of clients
 * understand them: a schema with an `$id` becomes a component with that name, `const` an `enum` of one.
 */
export class SchemaWriter {
  readonly #version: OpenApiVersion
  readonly #components = new Map<string, JsonSchema>()

  constructor(version: OpenApiVersion) {
    this.#version = version
  }

  /** What was written under a name of its own, sorted by name. */
  get components(): Readonly<Record<string, JsonSchema>> {
    return Object.fromEntries([...this.#components].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }

  write(schema: JsonSchema): JsonSchema {
    const { $id } = schema
    if (typeof $id !== 'string') return this.#writeKeywords(schema)
    if (!this.#components.has($id)) this.#components.set($id, this.#writeKeywords(schema))
    return { $ref: `#/components/schemas/${$id}` }
  }

  #writeKeywords(schema: JsonSchema): JsonSchema {
    const written: Record<string, unknown> = {}
    for (const [keyword, value] of Object.entries(schema)) {
      if (keyword === '$id') continue
      if (keyword === 'const') written['enum'] = [value]
      else if (keyword === 'properties') written[keyword] = this.#writeProperties(value)
      else if (keyword === 'patternProperties') {
        // A record: TypeBox writes one pattern that every name fits.
        const [values = {}] = Object.values(asSchema(value))
        written['additionalProperties'] = this.write(asSchema(values))
      } else if (keyword === 'type' && Array.isArray(value)) {
        Object.assign(written, this.#writeNullable(value))
      } else if (SCHEMAS.has(keyword) && typeof value === 'object') {
        written[keyword] = this.write(asSchema(value))
      } else if (SCHEMA_LISTS.has(keyword) && Array.isArray(value)) {
        written[keyword] = value.map((one) => this.write(asSchema(one)))
      } else written[keyword] = value
    }
    return written
  }

  /** Names of properties may be any text, those of keywords among them. */
  #writeProperties(properties: unknown): JsonSchema {
    return Object.fromEntries(
      Object.entries(asSchema(properties)).map(([name, one]) => [name, this.write(asSchema(one))]),
    )
  }

  /** `[type, 'null']`, which 3.0 has another keyword for. */
  #writeNullable(types: readonly unknown[]): JsonSchema {
    if (this.#version !== '3.0.3') return { type: types }
    return { type: types.find((type) => type !== 'null'), nullable: true }
  }
}

function asSchema(value: unknown): JsonSchema {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
