/** Predictions on the paths of MMS, TorchServe and SageMaker, with any body and any handler. */
import { Type } from '@sinclair/typebox'
import type { TObject } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../errors.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { TENSOR_SHAPE } from '../../openapi/binary-parameters.ts'
import { ANY_REQUEST, ANY_RESPONSE } from '../../openapi/predict/predict-schemas.ts'
import { PRIORITY_PARAMETERS } from '../../openapi/priority-parameters.ts'
import { chooseVersion } from '../inference/choose-version.ts'
import { explaining } from '../inference/explaining.ts'
import { rejectEarly } from '../inference/reject-early.ts'
import { relay, relayExplanation } from '../inference/relay.ts'
import { requestParameters } from '../inference/request-parameters.ts'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'

const ModelParams = Type.Object({ model: Type.String({ description: 'Name of the model.' }) })
const VersionParams = Type.Object({
  model: Type.String({ description: 'Name of the model.' }),
  version: Type.String({ description: 'Version of the model. Default: the default version.' }),
})
const InvocationsQuery = Type.Object({
  model_name: Type.Optional(
    Type.String({ description: 'Name of the model. Optional if the server has one model.' }),
  ),
})

/** The model's handler defines the meaning of the bodies. */
const RELAYED = {
  parameters: [...PRIORITY_PARAMETERS, TENSOR_SHAPE],
  requestBody: ANY_REQUEST,
  responses: { 200: ANY_RESPONSE },
}

/** `curl -T` sends PUT, and MMS and TorchServe do not check the method. Only POST is documented. */
const METHODS = ['GET', 'POST', 'PUT'] as const

/** The parts of a request, besides its body, that a predict route reads. */
interface PredictRequest {
  Params: { model: string; version?: string }
  Querystring: { model_name?: string }
}

/** A predict route. */
interface PredictRoute {
  readonly url: string
  readonly operationId: string
  readonly summary: string
  readonly schema: { readonly params: TObject } | { readonly querystring: TObject }
  /** Whether query parameters become inputs of the model too. */
  readonly withQuery: boolean
  /** Whether the handler is asked to explain its prediction. */
  readonly explains?: boolean
  /**
   * Returns the model of the request.
   * @throws ServerError if the model does not exist.
   */
  readonly find: (context: RouteContext, request: FastifyRequest<PredictRequest>) => ModelVersion
}

const byPath: PredictRoute['find'] = ({ registry }, request) => {
  const { model, version } = request.params
  return registry.get(model, version ?? chooseVersion(registry, model, request))
}

const explainingByPath: PredictRoute['find'] = (context, request) =>
  explaining(byPath(context, request))

const ROUTES: readonly PredictRoute[] = [
  {
    url: '/predictions/:model',
    operationId: 'predict',
    summary: 'Predict with the default version of a model',
    schema: { params: ModelParams },
    withQuery: false,
    find: byPath,
  },
  {
    url: '/predictions/:model/:version',
    operationId: 'predictVersion',
    summary: 'Predict with one version of a model',
    schema: { params: VersionParams },
    withQuery: false,
    find: byPath,
  },
  {
    url: '/explanations/:model',
    operationId: 'explain',
    summary: 'Ask the custom handler of a model to explain its prediction, as in TorchServe',
    schema: { params: ModelParams },
    withQuery: false,
    explains: true,
    find: explainingByPath,
  },
  {
    url: '/explanations/:model/:version',
    operationId: 'explainVersion',
    summary: 'The same with one version of a model',
    schema: { params: VersionParams },
    withQuery: false,
    explains: true,
    find: explainingByPath,
  },
  {
    url: '/invocations',
    operationId: 'invocations',
    summary: 'Predict on the path of SageMaker',
    schema: { querystring: InvocationsQuery },
    withQuery: true,
    find: (context, request) => {
      const { name } = invokedModel(context, request.query.model_name)
      return context.registry.get(name, chooseVersion(context.registry, name, request))
    },
  },
  {
    url: '/models/:model/invoke',
    operationId: 'invokeModel',
    summary: 'Predict on the path of SageMaker multi-model endpoints',
    schema: { params: ModelParams },
    withQuery: true,
    find: byPath,
  },
  {
    url: '/:model/predict',
    operationId: 'legacyPredict',
    summary: 'Predict on the path of old MMS clients',
    schema: { params: ModelParams },
    withQuery: true,
    find: byPath,
  },
]

/** Adds the predict routes. */
export function predictionRoutes(app: App, context: RouteContext): void {
  const { maxBodyBytes } = context.config
  // MMS and TorchServe read the body for every method.
  app.addHttpMethod('GET', { hasBody: true, overrideExisting: true })
  for (const { url, operationId, summary, schema, withQuery, explains, find } of ROUTES) {
    const send = explains === true ? relayExplanation : relay
    for (const method of METHODS) {
      const described = { operationId, summary, tags: ['inference'], openapi: RELAYED }
      app.route<PredictRequest>({
        method,
        url,
        schema: {
          ...schema,
          ...(method === 'POST' ? { ...described, response: errorResponses } : { hide: true }),
        },
        onRequest: (request, reply, done) =>
          rejectEarly(() => find(context, request), request, reply, done),
        handler: async (request, reply) => {
          const parameters = await requestParameters(request, { withQuery, maxBodyBytes })
          return send(() => find(context, request), parameters, request, reply)
        },
      })
    }
  }
}

/**
 * The model of a request to `/invocations`. Without a name, it is the only model.
 * @throws ServerError 400 if the name is missing and the server has not exactly one model.
 */
export function invokedModel({ registry }: RouteContext, name: string | undefined): ModelVersion {
  if (name !== undefined && name !== '') return registry.get(name)
  if (registry.only !== undefined) return registry.only
  throw new ServerError('BadRequestException', 'Parameter model_name is required.')
}
