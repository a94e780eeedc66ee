/**
 * The part of OpenAPI 3 that the documents use. Schemas may be TypeBox schemas; `SchemaWriter`
 * converts them.
 */

export type JsonSchema = Readonly<Record<string, unknown>>

/** A body in one content type. */
export interface MediaType {
  readonly schema: JsonSchema
  /** Example requests. The server responds to each of them with 200. */
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>
}

export type Content = Readonly<Record<string, MediaType>>

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required: boolean
  readonly description?: string
  readonly schema: JsonSchema
}

export interface RequestBody {
  readonly description?: string
  readonly required?: boolean
  readonly content: Content
}

export interface Response {
  readonly description: string
  readonly content?: Content
}

export interface Operation {
  readonly operationId: string
  readonly summary?: string
  readonly description?: string
  readonly tags: readonly string[]
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: RequestBody
  readonly responses: Readonly<Record<string, Response>>
}

/** Operations by path and method. */
export type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>

/** Documentation of a route in addition to the schemas that Fastify checks. */
export interface RouteDocumentation {
  /** In addition to the parameters of the path and the query. */
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: RequestBody
  /** Leaves the query parameters out of the document, which lists them as fields of the body. */
  readonly hidesQuery?: boolean
  /** Responses by status. They replace those from the route's schema. */
  readonly responses?: Readonly<Record<string, Response>>
}

/** Versions of OpenAPI in which a document is available. */
export const OPENAPI_VERSIONS = ['3.1.0', '3.0.3'] as const
export type OpenApiVersion = (typeof OPENAPI_VERSIONS)[number]

/** A complete document. */
export interface OpenApiDocument {
  readonly openapi: OpenApiVersion
  readonly info: Readonly<Record<string, unknown>>
  readonly servers: readonly { readonly url: string }[]
  readonly tags: readonly { readonly name: string; readonly description?: string }[]
  readonly paths: Paths
  readonly components: Readonly<Record<string, unknown>>
}
