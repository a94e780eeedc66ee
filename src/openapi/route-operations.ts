/** Converts the schemas of routes to the operations of a document. */
import { STATUS_CODES } from 'node:http'
import type { JsonSchema, Operation, Parameter, Response, RouteDocumentation } from './types.ts'

/** A route as Fastify registered it. */
export interface DocumentedRoute {
  readonly method: string
  /** In the spelling of Fastify's router: `/models/:model`. */
  readonly url: string
  readonly schema: RouteSchema
}

/**
 * The parts of a route's schema that a document uses. A route without an `operationId` is not
 * documented.
 */
export interface RouteSchema {
  readonly operationId?: string
  readonly summary?: string
  readonly description?: string
  readonly tags?: readonly string[]
  readonly params?: unknown
  readonly querystring?: unknown
  readonly response?: unknown
  readonly openapi?: RouteDocumentation
}

/** Descriptions of the status ranges. */
const RANGES: ReadonlyMap<string, string> = new Map([
  ['4xx', 'The request is not valid, or is not allowed.'],
  ['5xx', 'The server or the model failed or is overloaded.'],
])

/** The path in the spelling of OpenAPI: `/models/{model}`. */
export function pathOf({ url }: DocumentedRoute): string {
  return url.replaceAll(/::|:(\w+)(?:\([^)]*\))?/g, (found, name: string | undefined) =>
    name === undefined ? found.slice(1) : `{${name}}`,
  )
}

/** @param errors Error responses of the route, for statuses that its schema does not describe. */
export function operationOf(
  route: DocumentedRoute,
  errors: Readonly<Record<string, JsonSchema>>,
): Operation {
  const { operationId = '', summary, description, tags = [], openapi, ...schemas } = route.schema
  const parameters = [
    ...pathParameters(pathOf(route), propertiesOf(schemas.params)),
    ...(openapi?.hidesQuery === true ? [] : queryParameters(schemas.querystring)),
    ...(openapi?.parameters ?? []),
  ]
  return {
    operationId,
    ...(summary === undefined ? {} : { summary }),
    ...(description === undefined ? {} : { description }),
    tags,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(openapi?.requestBody === undefined ? {} : { requestBody: openapi.requestBody }),
    responses: {
      ...responsesOf({ ...errors, ...asRecord(schemas.response) }),
      ...openapi?.responses,
    },
  }
}

/** JSON responses by status. */
export function responsesOf(schemas: JsonSchema): Record<string, Response> {
  return Object.fromEntries(
    Object.entries(schemas).map(([status, schema]) => [
      status.toUpperCase(),
      {
        description: RANGES.get(status) ?? STATUS_CODES[status] ?? 'Partial Success',
        content: { 'application/json': { schema: asRecord(schema) } },
      },
    ]),
  )
}

function pathParameters(path: string, properties: JsonSchema): Parameter[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) =>
    parameter(name, 'path', true, properties[name] ?? { type: 'string' }),
  )
}

function queryParameters(querystring: unknown): Parameter[] {
  const { required } = asRecord(querystring)
  return Object.entries(propertiesOf(querystring)).map(([name, schema]) =>
    parameter(name, 'query', Array.isArray(required) && required.includes(name), schema),
  )
}

function parameter(
  name: string,
  place: Parameter['in'],
  required: boolean,
  value: unknown,
): Parameter {
  const { description, ...schema } = asRecord(value)
  return {
    name,
    in: place,
    required,
    ...(typeof description === 'string' ? { description } : {}),
    schema,
  }
}

function propertiesOf(schema: unknown): JsonSchema {
  return asRecord(asRecord(schema)['properties'])
}

function asRecord(value: unknown): JsonSchema {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
