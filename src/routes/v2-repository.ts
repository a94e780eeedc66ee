/** Triton's model repository extension: list, load and unload by name. */
import { Type } from '@sinclair/typebox'
import type { Static, TSchema } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.ts'
import type { RouteDocumentation } from '../openapi/types.ts'
import { fits, problemWith } from '../schema.ts'
import type { App, RouteContext } from './route-context.ts'
import { ModelParams, RepositoryIndexSchema, protocolErrors } from './v2-schemas.ts'

const IndexBody = Type.Object({
  ready: Type.Optional(Type.Boolean({ description: 'Only models that can answer now.' })),
})
const LoadBody = Type.Object({
  parameters: Type.Optional(
    Type.Object(
      {
        config: Type.Optional(Type.String({ description: 'Part of a ModelConfig as JSON text.' })),
      },
      { additionalProperties: false },
    ),
  ),
})
const UnloadBody = Type.Object({
  parameters: Type.Optional(Type.Object({ unload_dependents: Type.Optional(Type.Boolean()) })),
})

const tags = ['repository']
const INDEX = '/v2/repository/index'
const LOAD = '/v2/repository/models/:model/load'
const UNLOAD = '/v2/repository/models/:model/unload'

/** Adds the routes of the repository. Their bodies may be absent, whatever type they say they have. */
export function repositoryRoutes(app: App, { repository }: RouteContext): void {
  app.post(
    INDEX,
    {
      schema: {
        operationId: 'repositoryIndex',
        summary: 'List the models of the store and those that are loaded',
        tags,
        response: { 200: RepositoryIndexSchema, ...protocolErrors },
        openapi: documentBody(IndexBody),
      },
    },
    async (request, reply) => {
      const { ready = false } = readBody(request, IndexBody)
      return reply.send(await repository.index(ready))
    },
  )

  app.post(
    LOAD,
    {
      schema: {
        operationId: 'repositoryModelLoad',
        summary: 'Load a model, or load it again',
        tags,
        params: ModelParams,
        response: { 200: Type.Object({}), ...protocolErrors },
        openapi: documentBody(LoadBody),
      },
    },
    async (request, reply) => {
      const { model } = request.params
      const { parameters } = readBody(request, LoadBody, `failed to load '${model}': `)
      await repository.load(model, parameters?.config)
      return reply.send({})
    },
  )

  app.post(
    UNLOAD,
    {
      schema: {
        operationId: 'repositoryModelUnload',
        summary: 'Unload a model once its accepted requests are answered',
        tags,
        params: ModelParams,
        response: { 200: Type.Object({}), ...protocolErrors },
        openapi: documentBody(UnloadBody),
      },
    },
    async (request, reply) => {
      readBody(request, UnloadBody)
      await repository.unload(request.params.model)
      return reply.send({})
    },
  )
}

/** Says on the inference listener where the routes are, to clients that know only one address. */
export function closedRepositoryRoutes(app: App): void {
  for (const url of [INDEX, LOAD, UNLOAD]) {
    app.post(url, { schema: { hide: true } }, () => {
      const text =
        'The model repository is served on the management address; --expose-repository opens it here too.'
      throw new ServerError('ServiceUnavailableException', text)
    })
  }
}

function documentBody(schema: TSchema): RouteDocumentation {
  return { requestBody: { content: { 'application/json': { schema } } } }
}

/** @throws ServerError `BadRequestException` whose text begins with `prefix`. */
function readBody<T extends typeof IndexBody | typeof LoadBody | typeof UnloadBody>(
  { body }: FastifyRequest,
  schema: T,
  prefix = '',
): Static<T> {
  const text = Buffer.isBuffer(body) ? body.toString('utf8').trim() : ''
  let value: unknown
  try {
    value = text === '' ? {} : JSON.parse(text)
  } catch (cause) {
    throw new ServerError('BadRequestException', `${prefix}the body is not JSON`, { cause })
  }
  if (fits(schema, value)) return value
  const problem = problemWith(schema, value) ?? 'the body is not right'
  throw new ServerError('BadRequestException', `${prefix}${problem}`)
}
