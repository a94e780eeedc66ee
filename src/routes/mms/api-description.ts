/**
 * API descriptions of MMS: `OPTIONS` on `/`, on models and on their predict paths, and
 * `/api-description`.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ModelVersion } from '../../models/model-version.ts'
import { documented } from '../documents/api-documents.ts'
import type { ApiDocuments } from '../documents/api-documents.ts'
import { checkModel } from '../http/access/caller.ts'
import type { App, RouteContext } from '../route-context.ts'
import { invokedModel } from './predictions.ts'

/** Clients of MMS and TorchServe read version 3.0 of OpenAPI. */
const AS_ORIGINAL = { format: 'json', version: '3.0.3' } as const
/** Not in the documents, because these routes send the documents. */
const schema = { hide: true }

/** Adds `OPTIONS /` and `/api-description`: the document of the listener. */
export function apiDescriptionRoutes(app: App, documents: ApiDocuments): void {
  const describe = (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> =>
    documents.send(request, reply, AS_ORIGINAL)
  const options = { schema, config: { access: 'optional' } } as const
  app.options('/', options, describe)
  app.route({
    ...options,
    method: ['GET', 'OPTIONS'],
    url: '/api-description',
    handler: describe,
  })
}

/** Adds `OPTIONS` on the predict paths: the document of the model. */
export function predictDescriptionRoutes(
  app: App,
  context: RouteContext,
  documents: ApiDocuments,
): void {
  const { registry } = context
  const describe = modelDescriber(documents)
  for (const url of [
    '/predictions/:model',
    '/explanations/:model',
    '/models/:model/invoke',
    '/:model/predict',
  ]) {
    app.options<{ Params: { model: string } }>(url, { schema }, (request, reply) =>
      describe(request, reply, registry.get(request.params.model), false),
    )
  }
  for (const url of ['/predictions/:model/:version', '/explanations/:model/:version']) {
    app.options<{ Params: { model: string; version: string } }>(
      url,
      { schema },
      (request, reply) => {
        const { model, version } = request.params
        return describe(request, reply, registry.get(model, version), true)
      },
    )
  }
  app.options<{ Querystring: { model_name?: string } }>(
    '/invocations',
    { schema },
    (request, reply) =>
      describe(request, reply, invokedModel(context, request.query.model_name), false),
  )
}

/** Adds `OPTIONS /models/{model}`, which TorchServe has on its management listener. */
export function modelDescriptionRoute(
  app: App,
  { registry }: RouteContext,
  documents: ApiDocuments,
): void {
  const describe = modelDescriber(documents)
  app.options<{ Params: { model: string } }>('/models/:model', { schema }, (request, reply) =>
    describe(request, reply, registry.get(request.params.model), false),
  )
}

type Describe = (
  request: FastifyRequest,
  reply: FastifyReply,
  model: ModelVersion,
  withVersion: boolean,
) => Promise<FastifyReply>

function modelDescriber(documents: ApiDocuments): Describe {
  return async (request, reply, model, withVersion) => {
    checkModel(request, model.name)
    return documents.send(request, reply, { ...AS_ORIGINAL, model: documented(model, withVersion) })
  }
}
