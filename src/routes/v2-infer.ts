import { relay } from './relay.ts'
/** Inference by the Open Inference Protocol. The worker reads the body, its coding included, and writes the answer. */
import { bodyParameter } from './request-parameters.ts'
import type { App, RouteContext } from './route-context.ts'
import { findModel } from './v2-models.ts'
import { InferResponseSchema, ModelParams, VersionParams, protocolErrors } from './v2-schemas.ts'

const tags = ['inference']
const response = { 200: InferResponseSchema, ...protocolErrors }

/** Adds `POST /v2/models/{model}[/versions/{version}]/infer`. */
export function inferRoutes(app: App, { registry }: RouteContext): void {
  app.post(
    '/v2/models/:model/infer',
    {
      schema: {
        operationId: 'modelInfer',
        summary: 'Infer with the default version of a model',
        tags,
        params: ModelParams,
        response,
      },
    },
    async (request, reply) => {
      const { model } = request.params
      return relay(() => findModel(registry, model), bodyParameter(request), request, reply, 'v2')
    },
  )

  app.post(
    '/v2/models/:model/versions/:version/infer',
    {
      schema: {
        operationId: 'modelVersionInfer',
        summary: 'Infer with one version of a model',
        tags,
        params: VersionParams,
        response,
      },
    },
    async (request, reply) => {
      const { model, version } = request.params
      const find = () => findModel(registry, model, version)
      return relay(find, bodyParameter(request), request, reply, 'v2')
    },
  )
}
