/** `/models/{model}/shadow`: a version that gets copies of requests, and what they have shown. */
import { Type } from '@sinclair/typebox'
import type { ShadowReport } from '../../../models/shadow/report.ts'
import { ShadowSchema } from '../../../models/shadow/shadow-settings.ts'
import type { App, RouteContext } from '../../route-context.ts'
import { StatusSchema, errorResponses } from '../../schemas.ts'
import { takeParameters } from '../parameters.ts'
import { NoQuery } from '../queries.ts'
import { jsonBody } from './json-body.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })
const common = { tags: ['management'], params: ModelParams }
const Report = Type.Unsafe<ShadowReport>({ type: 'object', additionalProperties: true })
const url = '/models/:model/shadow'

/** Adds the routes to set and remove the shadow of a model, and to read its report. */
export function shadowRoutes(app: App, context: RouteContext): void {
  const { shadows } = context.registry
  app.get(
    url,
    {
      schema: {
        ...common,
        operationId: 'getShadow',
        summary: 'How the responses of the shadow version differ from those that clients got',
        querystring: NoQuery,
        response: { 200: Report, ...errorResponses },
      },
      preValidation: takeParameters(NoQuery, context),
    },
    async ({ params: { model } }, reply) => reply.send(shadows.report(model)),
  )

  app.put(
    url,
    {
      schema: {
        ...common,
        operationId: 'setShadow',
        summary: 'Copy a share of the requests to another version, and compare the responses',
        response: { 200: ShadowSchema, ...errorResponses },
        openapi: {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: ShadowSchema } },
          },
        },
      },
    },
    async (request, reply) =>
      reply.send(await shadows.set(request.params.model, await jsonBody(request))),
  )

  app.delete(
    url,
    {
      schema: {
        ...common,
        operationId: 'removeShadow',
        summary: 'Copy no more requests, and forget what they have shown',
        querystring: NoQuery,
        response: { 200: StatusSchema, ...errorResponses },
      },
      preValidation: takeParameters(NoQuery, context),
    },
    async ({ params: { model } }, reply) => {
      await shadows.remove(model)
      return reply.send({ status: `Shadow of model "${model}" removed` })
    },
  )
}
