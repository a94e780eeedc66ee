/** Inference in the original's dialect: MMS, TorchServe and SageMaker paths, any body, any handler. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { TENSOR_SHAPE } from '../../openapi/binary-parameters.ts'
import { ANY_REQUEST, ANY_RESPONSE } from '../../openapi/predict-schemas.ts'
import { URGENCY_PARAMETERS } from '../../openapi/urgency-parameters.ts'
import { rejectEarly } from '../inference/reject-early.ts'
import { relay } from '../inference/relay.ts'
import { requestParameters } from '../inference/request-parameters.ts'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })
const VersionParams = Type.Object({
  model: Type.String({ description: 'Name of the model.' }),
  version: Type.String({ description: 'Version of the model; the default version when absent.' }),
})
const InvocationsQuery = Type.Object({
  model_name: Type.Optional(
    Type.String({ description: 'May be absent while one model is served.' }),
  ),
})

/** Bodies are the handler's own. */
const RELAYED = {
  parameters: [...URGENCY_PARAMETERS, TENSOR_SHAPE],
  requestBody: ANY_REQUEST,
  responses: { 200: ANY_RESPONSE },
}

/** `curl -T` sends PUT; the original checks no method at all. Only POST is documented. */
const METHODS = ['GET', 'POST', 'PUT'] as const

/** Adds the predict routes. */
export function predictionRoutes(app: App, context: RouteContext): void {
  const { config, registry } = context
  // The original reads the body of every method.
  app.addHttpMethod('GET', { hasBody: true, overrideExisting: true })
  const predict = async (
    find: () => ModelVersion,
    request: FastifyRequest,
    reply: FastifyReply,
    withQuery: boolean,
  ) => {
    const { maxBodyBytes } = config
    return relay(
      find,
      await requestParameters(request, { withQuery, maxBodyBytes }),
      request,
      reply,
    )
  }

  for (const method of METHODS) {
    const describe = (operationId: string, summary: string) =>
      method === 'POST'
        ? { operationId, summary, tags: ['inference'], response: errorResponses, openapi: RELAYED }
        : { hide: true }
    app.route<{ Params: Static<typeof ModelParams> }>({
      method,
      url: '/predictions/:model',
      onRequest: (request, reply, done) =>
        rejectEarly(() => registry.get(request.params.model), request, reply, done),
      schema: {
        ...describe('predict', 'Predict with the default version of a model'),
        params: ModelParams,
      },
      handler: (request, reply) =>
        predict(() => registry.get(request.params.model), request, reply, false),
    })
    app.route<{ Params: Static<typeof VersionParams> }>({
      method,
      url: '/predictions/:model/:version',
      onRequest: (request, reply, done) =>
        rejectEarly(
          () => registry.get(request.params.model, request.params.version),
          request,
          reply,
          done,
        ),
      schema: {
        ...describe('predictVersion', 'Predict with one version of a model'),
        params: VersionParams,
      },
      handler: (request, reply) =>
        predict(
          () => registry.get(request.params.model, request.params.version),
          request,
          reply,
          false,
        ),
    })
    app.route<{ Querystring: Static<typeof InvocationsQuery> }>({
      method,
      url: '/invocations',
      onRequest: (request, reply, done) =>
        rejectEarly(() => invokedModel(context, request.query.model_name), request, reply, done),
      schema: {
        ...describe('invocations', 'Predict, as SageMaker calls it'),
        querystring: InvocationsQuery,
      },
      handler: (request, reply) =>
        predict(() => invokedModel(context, request.query.model_name), request, reply, true),
    })
    app.route<{ Params: Static<typeof ModelParams> }>({
      method,
      url: '/models/:model/invoke',
      onRequest: (request, reply, done) =>
        rejectEarly(() => registry.get(request.params.model), request, reply, done),
      schema: {
        ...describe('invokeModel', 'Predict, as SageMaker multi-model endpoints call it'),
        params: ModelParams,
      },
      handler: (request, reply) =>
        predict(() => registry.get(request.params.model), request, reply, true),
    })
    app.route<{ Params: Static<typeof ModelParams> }>({
      method,
      url: '/:model/predict',
      onRequest: (request, reply, done) =>
        rejectEarly(() => registry.get(request.params.model), request, reply, done),
      schema: {
        ...describe('legacyPredict', 'Predict by the path of old clients'),
        params: ModelParams,
      },
      handler: (request, reply) =>
        predict(() => registry.get(request.params.model), request, reply, true),
    })
  }
}

/** The model that `/invocations` is about. */
export function invokedModel({ registry }: RouteContext, name: string | undefined): ModelVersion {
  if (name !== undefined && name !== '') return registry.get(name)
  if (registry.only !== undefined) return registry.only
  throw new ServerError('BadRequestException', 'Parameter model_name is required.')
}
