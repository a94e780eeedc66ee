/** Builds complete OpenAPI documents from routes and models. */
import { modelPaths } from './model-operations.ts'
import type { DocumentedModel, ErrorSchemas } from './model-operations.ts'
import { operationOf, pathOf } from './route-operations.ts'
import type { DocumentedRoute } from './route-operations.ts'
import { SchemaWriter } from './schema-writer.ts'
import type { Named } from './type-names.ts'
import { typeNames } from './type-names.ts'
import type {
  Content,
  OpenApiDocument,
  OpenApiVersion,
  Operation,
  Paths,
  RequestBody,
  Response,
} from './types.ts'

/** The content of a document. */
export interface DocumentOptions {
  readonly version: OpenApiVersion
  readonly title: string
  readonly description: string
  /** Version of the API or the model that the document describes. */
  readonly apiVersion: string
  /**
   * Base URL of the paths, relative to the URL of the document. It works behind any path prefix
   * that a proxy adds.
   */
  readonly serverUrl: string
  readonly routes: readonly DocumentedRoute[]
  readonly models: readonly DocumentedModel[]
  readonly errors: ErrorSchemas
  /** The kind of token that the server may require for an operation. */
  readonly tokenFor: (operation: Operation) => TokenKind | undefined
}

/** Kinds of bearer tokens, by the names of their security schemes. */
const TOKENS = {
  managementToken: 'Required if the server has a management token.',
  token: 'An API token for inference.',
} as const
export type TokenKind = keyof typeof TOKENS

const TAGS: Readonly<Record<string, string>> = {
  health: 'Liveness and readiness of the server and of models.',
  inference: 'Predictions for any model.',
  models: 'Metadata of models in the Open Inference Protocol.',
  repository: 'Load and unload models by name, as in Triton.',
  management: 'Manage models, versions and workers.',
  'KServe v1': 'Version 1 of the KServe protocol.',
  documents: 'OpenAPI documents.',
  OpenAI: 'Embeddings in the form of OpenAI.',
  Cohere: 'Ranking of texts in the form of Cohere.',
  'text-embeddings-inference': 'The paths of text-embeddings-inference.',
}
const KSERVE_PATH = /^\/v[12](\/|$)/

/**
 * Builds a document. The same models always give the same document, in whatever order they come.
 */
export function buildDocument(options: DocumentOptions): OpenApiDocument {
  const { version, title, description, apiVersion, serverUrl, tokenFor } = options
  const paths = allPaths(options)
  const writer = new SchemaWriter(version)
  const operations = Object.values(paths).flatMap((item) => Object.values(item))
  const kinds = new Set(operations.map(tokenFor))
  const written = mapOperations(paths, (operation) => ({
    ...writeOperation(operation, writer),
    ...securityOf(tokenFor(operation)),
  }))
  return {
    openapi: version,
    info: { title, description, version: apiVersion },
    servers: [{ url: serverUrl }],
    tags: tagsOf(operations),
    paths: written,
    components: {
      schemas: writer.components,
      ...schemesOf([...kinds].filter((kind) => kind !== undefined)),
    },
  }
}

/** The document of management does not tell whether the server has a token. */
function securityOf(kind: TokenKind | undefined): Pick<Operation, 'security'> {
  if (kind === undefined) return {}
  return { security: [...(kind === 'managementToken' ? [{}] : []), { [kind]: [] }] }
}

function schemesOf(kinds: readonly TokenKind[]): OpenApiDocument['components'] {
  if (kinds.length === 0) return {}
  const schemes = kinds.map((kind) => [
    kind,
    { type: 'http', scheme: 'bearer', description: TOKENS[kind] },
  ])
  return { securitySchemes: Object.fromEntries(schemes) }
}

function allPaths({ routes, models, errors }: DocumentOptions): Paths {
  const paths: Record<string, Record<string, Operation>> = {}
  const taken = new Set<string>()
  for (const route of routes) {
    const path = pathOf(route)
    const dialect = KSERVE_PATH.test(path) ? errors.protocol : errors.original
    const operation = operationOf(route, dialect)
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation }
    taken.add(operation.operationId.toLowerCase())
  }
  const sorted = models.toSorted((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1))
  const isTaken = (name: string): boolean =>
    ['predict', 'infer'].some((verb) => taken.has(`${verb}${name}`.toLowerCase()))
  const names = typeNames(sorted, isTaken)
  for (const [index, model] of sorted.entries()) {
    Object.assign(paths, modelPaths(model, names[index] ?? '', errors))
  }
  return paths
}

function sortKey({ name, version }: Named): string {
  return `${name} ${version ?? ''}`
}

/** The groups of operations. The models come first, because readers look for them first. */
function tagsOf(operations: readonly Operation[]): OpenApiDocument['tags'] {
  const names = [...new Set(operations.flatMap(({ tags }) => tags))]
  const models = names.filter((name) => !(name in TAGS))
  const others = names.filter((name) => name in TAGS)
  return [...models, ...others].map((name) => ({
    name,
    description: TAGS[name] ?? `The model ${name}.`,
  }))
}

function mapOperations(paths: Paths, map: (operation: Operation) => Operation): Paths {
  return mapValues(paths, (item) => mapValues(item, map))
}

function writeOperation(operation: Operation, writer: SchemaWriter): Operation {
  const { parameters, requestBody, responses } = operation
  return {
    ...operation,
    ...(parameters === undefined
      ? {}
      : {
          parameters: parameters.map((one) => ({ ...one, schema: writer.write(one.schema) })),
        }),
    ...(requestBody === undefined ? {} : { requestBody: writeBody(requestBody, writer) }),
    responses: mapValues(responses, (response) => writeBody(response, writer)),
  }
}

function writeBody<T extends RequestBody | Response>(body: T, writer: SchemaWriter): T {
  if (body.content === undefined) return body
  const content: Content = mapValues(body.content, (media) => ({
    ...media,
    schema: writer.write(media.schema),
  }))
  return { ...body, content }
}

function mapValues<T, U>(
  values: Readonly<Record<string, T>>,
  map: (value: T) => U,
): Record<string, U> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value)]))
}
