import { createHash } from 'node:crypto'
import type { JsonSchema, OpenApiVersion } from './types.ts'

/** Keywords whose value is a schema, a list of schemas, or schemas by name. */
const SCHEMAS = new Set(['items', 'additionalProperties'])
const SCHEMA_LISTS = new Set(['anyOf', 'oneOf', 'allOf'])

const MAX_INT32 = 2 ** 31 - 1
const HASH_DIGITS = 6

/**
 * Writes the schemas of one document so that client generators and both versions of OpenAPI
 * understand them:
 * - A schema with an `$id` becomes a component of that name.
 * - `const` becomes an `enum` with one value.
 * - Each number gets a format. Generated clients in Java and Go use 32 bits for a number without
 *   one.
 */
export class SchemaWriter {
  readonly #version: OpenApiVersion
  readonly #components = new Map<string, JsonSchema>()

  constructor(version: OpenApiVersion) {
    this.#version = version
  }

  /** The components that were written so far, sorted by name. */
  get components(): Readonly<Record<string, JsonSchema>> {
    return Object.fromEntries([...this.#components].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }

  write(schema: JsonSchema): JsonSchema {
    const { $id } = schema
    const written = this.#writeKeywords(schema)
    return typeof $id === 'string' ? this.#writeComponent($id, written) : written
  }

  /**
   * Adds a component and returns a reference to it. If another schema has the same name, the new
   * one gets a hash as its suffix.
   */
  #writeComponent(id: string, written: JsonSchema): JsonSchema {
    const known = this.#components.get(id)
    const text = JSON.stringify(written)
    const isOther = known !== undefined && JSON.stringify(known) !== text
    const hash = createHash('sha256').update(text).digest('hex').slice(0, HASH_DIGITS)
    const name = isOther ? `${id}_${hash}` : id
    this.#components.set(name, written)
    return { $ref: `#/components/schemas/${name}` }
  }

  #writeKeywords(schema: JsonSchema): JsonSchema {
    const written: Record<string, unknown> = {}
    for (const [keyword, value] of Object.entries(schema)) {
      if (keyword === '$id') continue
      if (keyword === 'const') written['enum'] = [value]
      else if (keyword === 'properties') written[keyword] = this.#writeProperties(value)
      else if (keyword === 'patternProperties') {
        // TypeBox writes a record as one pattern that matches every name.
        const [values = {}] = Object.values(asSchema(value))
        written['additionalProperties'] = this.write(asSchema(values))
      } else if (keyword === 'additionalProperties' && value === false) {
        written[this.#closed] = false
      } else if (keyword === 'discriminator') {
        written[keyword] = this.#writeDiscriminator(schema)
      } else if (keyword === 'type' && Array.isArray(value)) {
        Object.assign(written, this.#writeNullable(value))
      } else if (SCHEMAS.has(keyword) && typeof value === 'object') {
        written[keyword] = this.write(asSchema(value))
      } else if (SCHEMA_LISTS.has(keyword) && Array.isArray(value)) {
        written[keyword] = value.map((one) => this.write(asSchema(one)))
      } else written[keyword] = value
    }
    const format = formatOf(schema)
    return format === undefined ? written : { ...written, format }
  }

  /**
   * In our schemas the mapping names schemas by `$id`. In a document it must name the component
   * references.
   */
  #writeDiscriminator({ discriminator, oneOf }: JsonSchema): JsonSchema {
    const { mapping, ...others } = asSchema(discriminator)
    const schemas = Array.isArray(oneOf) ? oneOf.map(asSchema) : []
    const references = Object.entries(asSchema(mapping)).map(([value, id]) => {
      const { $ref } = this.write(schemas.find(({ $id }) => $id === id) ?? {})
      return [value, $ref]
    })
    return { ...others, mapping: Object.fromEntries(references) }
  }

  /**
   * In documents of version 3.1, openapi-generator reads `additionalProperties: false` as `true`.
   */
  get #closed(): string {
    return this.#version === '3.0.3' ? 'additionalProperties' : 'unevaluatedProperties'
  }

  /** A property may have the name of a keyword, so its name is not read as one. */
  #writeProperties(properties: unknown): JsonSchema {
    return Object.fromEntries(
      Object.entries(asSchema(properties)).map(([name, one]) => [name, this.write(asSchema(one))]),
    )
  }

  /** Writes `[type, 'null']`. OpenAPI 3.0 uses the keyword `nullable` instead. */
  #writeNullable(types: readonly unknown[]): JsonSchema {
    if (this.#version !== '3.0.3') return { type: types }
    return { type: types.find((type) => type !== 'null'), nullable: true }
  }
}

/** The format of a number whose schema has none: the smallest that its bounds fit. */
function formatOf({ type, format, minimum, maximum, const: only }: JsonSchema): string | undefined {
  const types: unknown[] = Array.isArray(type) ? type : [type]
  if (format !== undefined) return undefined
  if (types.includes('number')) return 'double'
  if (!types.includes('integer')) return undefined
  return [minimum ?? only, maximum ?? only].every(isInt32) ? 'int32' : 'int64'
}

function isInt32(bound: unknown): boolean {
  return typeof bound === 'number' && bound >= -MAX_INT32 - 1 && bound <= MAX_INT32
}

function asSchema(value: unknown): JsonSchema {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
