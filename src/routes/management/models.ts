/** Management routes of MMS and TorchServe: `/models`. */
import { Type } from '@sinclair/typebox'
import { ServerError } from '../../errors.ts'
import type { VersionDescription } from '../../models/describe-version.ts'
import { describeEverywhere } from '../other-processes.ts'
import type { App, RouteContext } from '../route-context.ts'
import { StatusSchema, errorResponses } from '../schemas.ts'
import { listRoute } from './list.ts'
import { logRoute } from './log.ts'
import { statusBody, takeParameters } from './parameters.ts'
import { profileRoutes } from './profile.ts'
import { DescribeQuery, UnregisterQuery } from './queries.ts'
import { registerRoutes } from './register.ts'
import { rolloutRoutes } from './traffic/rollout.ts'
import { routingRoutes } from './traffic/routing.ts'
import { shadowRoutes } from './traffic/shadow.ts'
import { drainMs, versionRoutes } from './versions.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })

/** Adds the management routes. */
export function managementRoutes(app: App, context: RouteContext): void {
  const { config, registry } = context
  app.decorateRequest('parameterNotes')
  versionRoutes(app, context)
  listRoute(app, context)
  logRoute(app, context)
  profileRoutes(app, context)
  rolloutRoutes(app, context)
  routingRoutes(app, context)
  shadowRoutes(app, context)
  registerRoutes(app, context)

  app.get(
    '/models/:model',
    {
      schema: {
        operationId: 'describeModel',
        summary: 'Describe a model: settings, workers, restarts, inputs and outputs',
        tags: ['management'],
        params: ModelParams,
        querystring: DescribeQuery,
        response: { 200: Type.Unsafe<VersionDescription>({ type: 'object' }), ...errorResponses },
      },
      preValidation: takeParameters(DescribeQuery, context),
    },
    async ({ params: { model } }, reply) => {
      await registry.whenPrepared(model)
      return reply.send(await describeEverywhere(registry.find(model), context))
    },
  )

  app.delete(
    '/models/:model',
    {
      schema: {
        operationId: 'unregisterModel',
        summary: 'Unregister a model after its accepted requests have finished',
        tags: ['management'],
        params: ModelParams,
        querystring: UnregisterQuery,
        response: { 200: StatusSchema, ...errorResponses },
      },
      preValidation: takeParameters(UnregisterQuery, context),
    },
    async (request, reply) => {
      const { params, query } = request
      // Removes the name from the saved state too. A model that could not be restored is not
      // registered, but the next start would try to load it again.
      const isForgotten = (await context.forget?.(params.model)) ?? false
      try {
        await registry.unregister(params.model, drainMs(query, config))
      } catch (error) {
        if (!isForgotten || !isNotFound(error)) throw error
      }
      return reply.send(statusBody(request, `Model "${params.model}" unregistered`))
    },
  )
}

/**
 * The answer to a change of the models comes when every HTTP process has made the change; 202,
 * which says that the change is being made, when every one knows of it.
 */
export function answerWhenShared(app: App, { others }: RouteContext): void {
  if (others === undefined) return
  app.addHook('onSend', async ({ method }, { statusCode }) => {
    if (method === 'GET' || method === 'HEAD' || statusCode >= 300) return
    await (statusCode === 202 ? others.informed() : others.applied())
  })
}

function isNotFound(error: unknown): boolean {
  return error instanceof ServerError && error.type === 'ModelNotFoundException'
}
