/**
 * Inference with the Open Inference Protocol. The worker decompresses and reads the body, and
 * writes the response.
 */
import { Type } from '@sinclair/typebox'
import { BINARY_PARAMETERS } from '../../openapi/binary-parameters.ts'
import { ANY_RESPONSE, BINARY } from '../../openapi/predict/predict-schemas.ts'
import { PRIORITY_PARAMETERS } from '../../openapi/priority-parameters.ts'
import { explaining } from '../inference/explaining.ts'
import { rejectEarly } from '../inference/reject-early.ts'
import { relay, relayExplanation } from '../inference/relay.ts'
import { bodyParameter } from '../inference/request-parameters.ts'
import type { App, RouteContext } from '../route-context.ts'
import { chosenModel, findModel } from './v2-models.ts'
import {
  InferRequestSchema,
  InferResponseSchema,
  ModelParams,
  VersionParams,
  protocolErrors,
} from './v2-schemas.ts'

const tags = ['inference']
const response = { 200: InferResponseSchema, ...protocolErrors }
const openapi = {
  parameters: [...PRIORITY_PARAMETERS, ...BINARY_PARAMETERS],
  requestBody: {
    required: true,
    description:
      'With binary tensors: JSON, whose length is in the header `Inference-Header-Content-Length`, followed by the bytes of the tensors.',
    content: {
      'application/json': { schema: InferRequestSchema },
      'application/octet-stream': { schema: BINARY },
    },
  },
  responses: {
    200: {
      description: 'The output tensors; binary if the request asks for it.',
      content: {
        'application/json': { schema: InferResponseSchema },
        'application/octet-stream': { schema: BINARY },
      },
    },
  },
}

/** Adds `POST /v2/models/{model}[/versions/{version}]/infer` and `/v2/models/{model}/explain`. */
export function inferRoutes(app: App, { registry }: RouteContext): void {
  app.post(
    '/v2/models/:model/infer',
    {
      onRequest: (request, reply, done) =>
        rejectEarly(() => chosenModel(registry, request), request, reply, done),
      schema: {
        operationId: 'modelInfer',
        summary: 'Infer with the default version of a model',
        tags,
        params: ModelParams,
        response,
        openapi,
      },
    },
    async (request, reply) => {
      const find = () => chosenModel(registry, request)
      return relay(find, bodyParameter(request), request, reply, 'v2')
    },
  )

  app.post(
    '/v2/models/:model/versions/:version/infer',
    {
      onRequest: (request, reply, done) =>
        rejectEarly(
          () => findModel(registry, request.params.model, request.params.version),
          request,
          reply,
          done,
        ),
      schema: {
        operationId: 'modelVersionInfer',
        summary: 'Infer with one version of a model',
        tags,
        params: VersionParams,
        response,
        openapi,
      },
    },
    async (request, reply) => {
      const { model, version } = request.params
      const find = () => findModel(registry, model, version)
      return relay(find, bodyParameter(request), request, reply, 'v2')
    },
  )

  app.post(
    '/v2/models/:model/explain',
    {
      onRequest: (request, reply, done) =>
        rejectEarly(() => explaining(chosenModel(registry, request)), request, reply, done),
      schema: {
        operationId: 'modelExplain',
        summary: 'Ask the custom handler of a model to explain its predictions',
        tags,
        params: ModelParams,
        response: { 200: Type.Unknown(), ...protocolErrors },
        openapi: { ...openapi, responses: { 200: ANY_RESPONSE } },
      },
    },
    async (request, reply) => {
      const find = () => explaining(chosenModel(registry, request))
      return relayExplanation(find, bodyParameter(request), request, reply, 'v2')
    },
  )
}
