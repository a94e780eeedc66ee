/** From the schemas of routes to the operations of a document. */
import { STATUS_CODES } from 'node:http'
import type { JsonSchema, Operation, Parameter, Response, RouteDocumentation } from './types.ts'

/** A route as it was registered. */
export interface DocumentedRoute {
  readonly method: string
  /** In the router's spelling, `/models/:model`. */
  readonly url: string
  readonly schema: RouteSchema
}

/** What a document takes from the schema of a route. Without an `operationId` the route is not documented. */
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

/** What is said of a status that has no text of its own. */
const RANGES: ReadonlyMap<string, string> = new Map([
  ['4xx', 'The request cannot be answered.'],
  ['5xx', 'The server or the model failed, or is too busy.'],
])

/** The path as OpenAPI writes it: `/models/{model}`. */
export function pathOf({ url }: DocumentedRoute): string {
  return url.replaceAll(/::|:(\w+)(?:\([^)]*\))?/g, (found, name: string | undefined) =>
    name === undefined ? found.slice(1) : `{${name}}`,
  )
}

/** @param errors Responses of a route that states none for errors. */
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

/** Answers in JSON, by status. */
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
