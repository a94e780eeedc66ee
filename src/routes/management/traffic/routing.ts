/** `/models/{model}/routing`: labels of versions, and their shares of the requests. */
import { Type } from '@sinclair/typebox'
import { RoutingSchema } from '../../../models/routing/routing.ts'
import type { App, RouteContext } from '../../route-context.ts'
import { StatusSchema, errorResponses } from '../../schemas.ts'
import { takeParameters } from '../parameters.ts'
import { NoQuery } from '../queries.ts'
import { jsonBody } from './json-body.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })
const common = { tags: ['management'], params: ModelParams }
const response = { 200: RoutingSchema, ...errorResponses }
const url = '/models/:model/routing'

/** Adds the routes to read, replace and remove the labels and weights of a model. */
export function routingRoutes(app: App, context: RouteContext): void {
  const { routing } = context.registry
  app.get(
    url,
    {
      schema: {
        ...common,
        operationId: 'getRouting',
        summary: 'Labels of versions, and their shares of the requests',
        querystring: NoQuery,
        response,
      },
      preValidation: takeParameters(NoQuery, context),
    },
    async ({ params: { model } }, reply) => reply.send(routing.of(model)),
  )

  app.put(
    url,
    {
      schema: {
        ...common,
        operationId: 'setRouting',
        summary: 'Replace the labels of versions and their shares of the requests',
        response,
        openapi: {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: RoutingSchema } },
          },
        },
      },
    },
    async (request, reply) =>
      reply.send(await routing.set(request.params.model, await jsonBody(request))),
  )

  app.delete(
    url,
    {
      schema: {
        ...common,
        operationId: 'removeRouting',
        summary: 'Send all requests to the default version again, and remove the labels',
        querystring: NoQuery,
        response: { 200: StatusSchema, ...errorResponses },
      },
      preValidation: takeParameters(NoQuery, context),
    },
    async ({ params: { model } }, reply) => {
      await routing.set(model, {})
      return reply.send({ status: `Routing of model "${model}" removed` })
    },
  )
}
