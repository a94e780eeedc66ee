/** `/models/{model}/rollout`: moves requests to a new version step by step. */
import { Type } from '@sinclair/typebox'
import { ServerError } from '../../../errors.ts'
import { RolloutRequestSchema } from '../../../models/rollout/plan.ts'
import { RolloutSchema } from '../../../models/rollout/shown-rollout.ts'
import { fits, problemWith } from '../../../schema.ts'
import type { App, RouteContext } from '../../route-context.ts'
import { errorResponses } from '../../schemas.ts'
import { takeParameters } from '../parameters.ts'
import { NoQuery } from '../queries.ts'
import { jsonBody } from './json-body.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })
const PauseSchema = Type.Object(
  { paused: Type.Boolean({ description: 'Whether the rollout stays at its present step.' }) },
  { additionalProperties: false },
)
const response = { 200: RolloutSchema, ...errorResponses }
const common = { tags: ['management'], params: ModelParams, response }
const url = '/models/:model/rollout'

/** Adds the routes to begin, show, pause and abort the rollout of a model. */
export function rolloutRoutes(app: App, context: RouteContext): void {
  const { rollouts } = context.registry
  app.get(
    url,
    {
      schema: {
        ...common,
        operationId: 'getRollout',
        summary: 'The rollout of a model that runs, or the last one',
        querystring: NoQuery,
      },
      preValidation: takeParameters(NoQuery, context),
    },
    async ({ params: { model } }, reply) => reply.send(await rollouts.read(model)),
  )

  app.post(
    url,
    {
      schema: {
        ...common,
        operationId: 'beginRollout',
        summary:
          'Move requests to a new version step by step, while it is as good as the present one',
        openapi: {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: RolloutRequestSchema } },
          },
        },
      },
    },
    async (request, reply) =>
      reply.send(await rollouts.begin(request.params.model, await jsonBody(request))),
  )

  app.put(
    url,
    {
      schema: {
        ...common,
        operationId: 'pauseRollout',
        summary: 'Pause or resume the rollout of a model',
        openapi: {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: PauseSchema } },
          },
        },
      },
    },
    async (request, reply) => {
      const body = await jsonBody(request)
      if (!fits(PauseSchema, body)) {
        const problem = problemWith(PauseSchema, body) ?? ''
        throw new ServerError('BadRequestException', `The body is not valid: ${problem}.`)
      }
      return reply.send(await rollouts.pause(request.params.model, body.paused))
    },
  )

  app.delete(
    url,
    {
      schema: {
        ...common,
        operationId: 'abortRollout',
        summary: 'Abort the rollout of a model and restore its routing',
        querystring: NoQuery,
      },
      preValidation: takeParameters(NoQuery, context),
    },
    async ({ params: { model } }, reply) => reply.send(await rollouts.abort(model)),
  )
}
