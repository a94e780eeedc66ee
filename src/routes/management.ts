/** Management in the original's dialect: `/models`. */
import { Type } from '@sinclair/typebox'
import { ServerError, messageOf } from '../errors.ts'
import { describeVersion } from '../models/describe-version.ts'
import type { VersionDescription } from '../models/describe-version.ts'
import { prepareFromUrl } from '../models/source.ts'
import { versionRoutes } from './management-versions.ts'
import type { App, RouteContext } from './route-context.ts'
import { StatusSchema, errorResponses } from './schemas.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })

const MAX_INT32 = 2 ** 31 - 1
const RegisterQuery = Type.Object({
  url: Type.Optional(
    Type.String({
      description:
        'A file or folder in the model store, or a path of this machine where the operator allows it.',
    }),
  ),
  model_name: Type.Optional(
    Type.String({ description: 'Name to serve the model under; its own when absent.' }),
  ),
  model_version: Type.Optional(
    Type.String({ description: 'Version to register under; the model’s own when absent.' }),
  ),
  handler: Type.Optional(
    Type.String({
      description: '`onnx`, `image`, or `module.js:function` of the model’s own code.',
    }),
  ),
  batch_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536 })),
  max_batch_delay: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 60_000, description: 'Milliseconds.' }),
  ),
  initial_workers: Type.Optional(Type.Integer({ minimum: 0, maximum: 256 })),
  synchronous: Type.Optional(
    Type.Boolean({ default: true, description: 'Answer when the workers are ready.' }),
  ),
  response_timeout: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 86_400, description: 'Seconds.' }),
  ),
})

const ListQuery = Type.Object({
  limit: Type.Optional(
    Type.Integer({ minimum: 0, maximum: MAX_INT32, description: 'At most 100.' }),
  ),
  next_page_token: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_INT32 })),
})
const MAX_PAGE = 100
const ModelList = Type.Object({
  nextPageToken: Type.Optional(Type.String()),
  models: Type.Array(Type.Object({ modelName: Type.String(), modelUrl: Type.String() })),
  failed: Type.Optional(
    Type.Array(
      Type.Object({ modelUrl: Type.String(), reason: Type.String(), failedAt: Type.String() }),
      { description: 'What should be served and could not be loaded, with the reason.' },
    ),
  ),
})

/** Adds the management routes. */
export function managementRoutes(app: App, context: RouteContext): void {
  const { config, registry, sources } = context
  versionRoutes(app, context)
  app.get(
    '/models',
    {
      schema: {
        operationId: 'listModels',
        summary: 'List the models',
        tags: ['management'],
        querystring: ListQuery,
        response: { 200: ModelList, ...errorResponses },
      },
    },
    async ({ query }, reply) => {
      const { names } = registry
      const start = query.next_page_token ?? 0
      const end = start + Math.min(query.limit ?? MAX_PAGE, MAX_PAGE)
      const models = names.slice(start, end).map((modelName) => ({
        modelName,
        modelUrl: registry.get(modelName).prepared.url,
      }))
      const failed = registry.failures.map(({ url, reason, failedAt }) => ({
        modelUrl: url,
        reason,
        failedAt: failedAt.toISOString(),
      }))
      return reply.send({
        ...(end < names.length ? { nextPageToken: String(end) } : {}),
        models,
        ...(failed.length > 0 ? { failed } : {}),
      })
    },
  )

  app.post(
    '/models',
    {
      schema: {
        operationId: 'registerModel',
        summary: 'Register a model',
        description:
          'Parameters come in the query, or as one JSON object in the body; then the query is ignored.',
        tags: ['management'],
        querystring: RegisterQuery,
        response: { 200: StatusSchema, 202: StatusSchema, ...errorResponses },
      },
      preValidation: async (request) => {
        if (request.body !== undefined && !Buffer.isBuffer(request.body))
          request.query = request.body as typeof request.query
      },
    },
    async ({ query, log }, reply) => {
      if (query.url === undefined || query.url === '') {
        throw new ServerError('BadRequestException', 'Parameter url is required.')
      }
      const named = {
        name: query.model_name || undefined,
        version: query.model_version || undefined,
      }
      const prepared = await prepareFromUrl(query.url, { ...sources, ...named })
      const registration = registry.register(prepared, {
        handler: query.handler,
        batchSize: query.batch_size,
        maxBatchDelayMs: query.max_batch_delay,
        workers: query.initial_workers,
        responseTimeoutMs:
          query.response_timeout === undefined ? undefined : query.response_timeout * 1000,
      })
      if (query.synchronous === false) {
        const { url } = query
        registration.catch((error: unknown) => {
          registry.recordFailure(url, messageOf(error))
          log.error({ url, reason: messageOf(error) }, 'registration failed')
        })
        return reply.code(202).send({ status: 'Processing worker updates...' })
      }
      const [first] = await registration
      const hasWorkers = first !== undefined && first.settings.workers > 0
      return reply.send({
        status: hasWorkers ? 'Workers scaled' : `Model "${first?.name ?? ''}" registered`,
      })
    },
  )

  app.get(
    '/models/:model',
    {
      schema: {
        operationId: 'describeModel',
        summary: 'Describe a model: settings, workers, restarts, inputs and outputs',
        tags: ['management'],
        params: ModelParams,
        response: { 200: Type.Unsafe<VersionDescription>({ type: 'object' }), ...errorResponses },
      },
    },
    async ({ params }, reply) =>
      reply.send(await describeVersion(registry.get(params.model), config.gpus)),
  )

  app.delete(
    '/models/:model',
    {
      schema: {
        operationId: 'unregisterModel',
        summary: 'Unregister a model once its accepted requests are answered',
        tags: ['management'],
        params: ModelParams,
        response: { 200: StatusSchema, ...errorResponses },
      },
    },
    async ({ params }, reply) => {
      await registry.unregister(params.model, config.drainTimeout * 1000)
      return reply.send({ status: `Model "${params.model}" unregistered` })
    },
  )
}
