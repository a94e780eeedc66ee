/**
 * Version 1 of KServe's protocol: readiness and predictions. The worker reads and writes the
 * bodies.
 */
import { Type } from '@sinclair/typebox'
import { PRIORITY_PARAMETERS } from '../../openapi/priority-parameters.ts'
import { mayUse } from '../http/access/caller.ts'
import { explaining } from '../inference/explaining.ts'
import { rejectEarly } from '../inference/reject-early.ts'
import { relay, relayExplanation } from '../inference/relay.ts'
import { bodyParameter } from '../inference/request-parameters.ts'
import type { App, RouteContext } from '../route-context.ts'
import { modelReadiness } from './health.ts'
import { chosenModel } from './v2-models.ts'
import { ModelParams, ModelReady, protocolErrors } from './v2-schemas.ts'

const tags = ['KServe v1']
/** For the documents only: the worker checks the body. */
const Instances = Type.Object({
  instances: Type.Array(Type.Unknown(), { description: 'One prediction for each instance.' }),
})
/** `models` for KServe; the other members for clients of OpenAI. */
const ModelList = Type.Object({
  models: Type.Array(Type.String()),
  object: Type.Literal('list'),
  data: Type.Array(
    Type.Object({
      id: Type.String({ description: 'Name of the model.' }),
      object: Type.Literal('model'),
      created: Type.Integer({ description: 'Always 0.' }),
      owned_by: Type.String(),
    }),
  ),
})

/** Adds `/` as a liveness check, and `/v1/models…`. */
export function v1Routes(app: App, context: RouteContext): void {
  const { registry } = context
  app.get(
    '/',
    {
      config: { access: 'open' },
      schema: {
        operationId: 'alive',
        summary: 'Liveness: the server process responds',
        tags,
        response: { 200: Type.Object({ status: Type.String() }) },
      },
    },
    async (_request, reply) => reply.send({ status: 'alive' }),
  )

  app.get(
    '/v1/models',
    {
      schema: {
        operationId: 'v1ModelNames',
        summary: 'List the names of the models',
        tags,
        response: { 200: ModelList },
      },
    },
    async (request, reply) => {
      const models = registry.names.filter((name) => mayUse(request, name))
      const data = models.map((id) => {
        return { id, object: 'model' as const, created: 0, owned_by: 'onnxd' }
      })
      return reply.send({ models, object: 'list', data })
    },
  )

  app.get(
    '/v1/models/:model',
    {
      schema: {
        operationId: 'v1ModelReady',
        summary:
          'Readiness of a model: its default version, and each step of a pipeline, has a worker',
        tags,
        params: ModelParams,
        response: { 200: ModelReady, 503: ModelReady, ...protocolErrors },
      },
    },
    async ({ params }, reply) => {
      const readiness = await modelReadiness(context, params.model)
      return reply.code(readiness.ready ? 200 : 503).send(readiness)
    },
  )

  // The expression ends the name at the colon. Without it the router reads `:predict` as part of
  // the name.
  const path = '/v1/models/:model(^[^:/]+)'
  const openapi = {
    parameters: PRIORITY_PARAMETERS,
    requestBody: { required: true, content: { 'application/json': { schema: Instances } } },
  }
  app.post(
    `${path}::predict`,
    {
      onRequest: (request, reply, done) =>
        rejectEarly(() => chosenModel(registry, request), request, reply, done),
      schema: {
        operationId: 'v1Predict',
        summary: 'Predict for a list of instances',
        tags,
        params: ModelParams,
        response: {
          200: Type.Object({ predictions: Type.Array(Type.Unknown()) }),
          ...protocolErrors,
        },
        openapi,
      },
    },
    async (request, reply) => {
      const find = () => chosenModel(registry, request)
      return relay(find, bodyParameter(request), request, reply, 'v1')
    },
  )

  app.post(
    `${path}::explain`,
    {
      onRequest: (request, reply, done) =>
        rejectEarly(() => explaining(chosenModel(registry, request)), request, reply, done),
      schema: {
        operationId: 'v1Explain',
        summary: 'Ask the custom handler of a model to explain its predictions',
        tags,
        params: ModelParams,
        response: { 200: Type.Unknown(), ...protocolErrors },
        openapi,
      },
    },
    async (request, reply) => {
      const find = () => explaining(chosenModel(registry, request))
      return relayExplanation(find, bodyParameter(request), request, reply, 'v1')
    },
  )
}
