/** Triton's model repository extension: lists, loads and unloads models by name. */
import { KindGuard, Type } from '@sinclair/typebox'
import type { Static, TObject, TSchema } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'
import type { RouteDocumentation } from '../../openapi/types.ts'
import { mayUse } from '../http/access/caller.ts'
import { plainBody } from '../http/content-encoding.ts'
import { jsonMembers } from '../http/json-object.ts'
import type { JsonMember } from '../http/json-object.ts'
import { readValues } from '../http/parameter-values.ts'
import type { ParameterTexts } from '../http/parameter-values.ts'
import { unknownText } from '../management/parameters.ts'
import type { App, RouteContext } from '../route-context.ts'
import { ModelParams, RepositoryIndexSchema, protocolErrors } from './v2-schemas.ts'

const strict = { additionalProperties: false }
const IndexBody = Type.Object(
  { ready: Type.Optional(Type.Boolean({ description: 'List only models that are ready.' })) },
  strict,
)
const LoadBody = Type.Object(
  {
    parameters: Type.Optional(
      Type.Object(
        {
          config: Type.Optional(
            Type.String({
              description: 'Parts of a ModelConfig to override, as a string of JSON.',
            }),
          ),
        },
        strict,
      ),
    ),
  },
  strict,
)
const UnloadBody = Type.Object(
  {
    parameters: Type.Optional(
      Type.Object(
        {
          unload_dependents: Type.Optional(
            Type.Boolean({
              description: 'Without effect: models do not depend on each other in onnxd.',
            }),
          ),
        },
        strict,
      ),
    ),
  },
  strict,
)

const tags = ['repository']
const INDEX = '/v2/repository/index'
const LOAD = '/v2/repository/models/:model/load'
const UNLOAD = '/v2/repository/models/:model/unload'

/** Adds the repository routes. The body is optional, whatever the `Content-Type` is. */
export function repositoryRoutes(app: App, context: RouteContext): void {
  const { repository } = context
  app.post(
    INDEX,
    {
      schema: {
        operationId: 'repositoryIndex',
        summary: 'List the models of the model store and all loaded models',
        tags,
        response: { 200: RepositoryIndexSchema, ...protocolErrors },
        openapi: documentBody(IndexBody),
      },
    },
    async (request, reply) => {
      const { ready = false } = await readBody(request, IndexBody, context)
      const index = await repository.index(ready)
      return reply.send(index.filter(({ name }) => mayUse(request, name)))
    },
  )

  app.post(
    LOAD,
    {
      schema: {
        operationId: 'repositoryModelLoad',
        summary: 'Load or reload a model',
        tags,
        params: ModelParams,
        response: { 200: Type.Object({}), ...protocolErrors },
        openapi: documentBody(LoadBody),
      },
    },
    async (request, reply) => {
      const { model } = request.params
      const prefix = `failed to load '${model}': `
      const { parameters } = await readBody(request, LoadBody, context, prefix)
      await repository.load(model, parameters?.config)
      return reply.send({})
    },
  )

  app.post(
    UNLOAD,
    {
      schema: {
        operationId: 'repositoryModelUnload',
        summary: 'Unload a model after its accepted requests have finished',
        tags,
        params: ModelParams,
        response: { 200: Type.Object({}), ...protocolErrors },
        openapi: documentBody(UnloadBody),
      },
    },
    async (request, reply) => {
      await readBody(request, UnloadBody, context)
      await repository.unload(request.params.model)
      return reply.send({})
    },
  )
}

/** For the inference listener: routes that tell clients where the repository routes are. */
export function closedRepositoryRoutes(app: App): void {
  for (const url of [INDEX, LOAD, UNLOAD]) {
    app.post(url, { schema: { hide: true } }, () => {
      const text =
        'The model repository is served on the management listener only. Start the server with --expose-repository to serve it here as well.'
      throw new ServerError('ServiceUnavailableException', text)
    })
  }
}

function documentBody(schema: TSchema): RouteDocumentation {
  return { requestBody: { content: { 'application/json': { schema } } } }
}

/**
 * The parameters in the body of a request. Null means absent. Texts are converted as in `/models`.
 * @throws ServerError `BadRequestException` whose text begins with `prefix`, and the errors of a
 * compressed body.
 */
async function readBody<T extends typeof IndexBody | typeof LoadBody | typeof UnloadBody>(
  request: FastifyRequest,
  schema: T,
  { config: { lenientParameters, maxJsonBytes } }: RouteContext,
  prefix = '',
): Promise<Static<T>> {
  const body = await plainBody(request, maxJsonBytes)
  try {
    const members = jsonMembers(body.toString('utf8'))
    return readMembers(schema, members, lenientParameters)
  } catch (error) {
    if (!(error instanceof ServerError) || prefix === '') throw error
    const { type, statusCode, message } = error
    throw new ServerError(type, prefix + message, { statusCode, cause: error })
  }
}

function readMembers(
  schema: TObject,
  members: readonly JsonMember[],
  isLenient: boolean,
): ParameterTexts {
  const texts: Record<string, string> = {}
  const nested: Record<string, unknown> = {}
  for (const { name, text, written } of members) {
    const known = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined
    if (known === undefined) {
      if (!isLenient) throw new ServerError('BadRequestException', problemOf(name, schema))
    } else if (KindGuard.IsObject(known)) {
      nested[name] = readMembers(known, jsonMembers(written, `Parameter ${name}`), isLenient)
    } else if (text !== undefined) {
      texts[name] = text
    } else {
      throw new ServerError('BadRequestException', `Parameter ${name} must be a single value.`)
    }
  }
  return { ...readValues(schema, texts), ...nested }
}

/**
 * The error text for an unknown parameter. Triton's clients may send model files here, which is not
 * supported.
 */
function problemOf(name: string, schema: TObject): string {
  return name.startsWith('file:')
    ? `Parameter ${JSON.stringify(name)} is not supported: a load request cannot contain model files. Put the files into the model store, or upload the model with POST /models/upload.`
    : unknownText(name, schema)
}
