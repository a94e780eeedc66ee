/** Management in the original's dialect: `/models`. */
import { Type } from '@sinclair/typebox'
import { describeVersion } from '../models/describe-version.ts'
import type { VersionDescription } from '../models/describe-version.ts'
import { registerRoute } from './management-register.ts'
import { versionRoutes } from './management-versions.ts'
import type { App, RouteContext } from './route-context.ts'
import { StatusSchema, errorResponses } from './schemas.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })

const MAX_INT32 = 2 ** 31 - 1
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
      Type.Object({
        modelName: Type.Optional(Type.String()),
        modelVersion: Type.Optional(Type.String()),
        modelUrl: Type.String(),
        reason: Type.String(),
        log: Type.Optional(
          Type.Array(Type.String(), { description: 'Last lines of the worker, oldest first.' }),
        ),
        failedAt: Type.String(),
      }),
      { description: 'What should be served and could not be loaded, with the reason.' },
    ),
  ),
})

/** Adds the management routes. */
export function managementRoutes(app: App, context: RouteContext): void {
  const { config, registry } = context
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
      const failed = registry.failures.all.map((failure) => ({
        ...(failure.name !== undefined && { modelName: failure.name }),
        ...(failure.version !== undefined && { modelVersion: failure.version }),
        modelUrl: failure.url,
        reason: failure.reason,
        ...(failure.log.length > 0 && { log: [...failure.log] }),
        failedAt: failure.failedAt.toISOString(),
      }))
      return reply.send({
        ...(end < names.length ? { nextPageToken: String(end) } : {}),
        models,
        ...(failed.length > 0 ? { failed } : {}),
      })
    },
  )

  registerRoute(app, context)

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
      // A model that could not be restored is in nobody's way, but it would come back.
      const isForgotten = (await context.forget?.(params.model)) ?? false
      if (!isForgotten || registry.names.includes(params.model)) {
        await registry.unregister(params.model, config.drainTimeout * 1000)
      }
      return reply.send({ status: `Model "${params.model}" unregistered` })
    },
  )
}
