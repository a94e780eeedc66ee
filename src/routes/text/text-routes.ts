/**
 * Embeddings, ranking and classification of texts on the paths of OpenAI, Cohere and
 * text-embeddings-inference. The path or the body names the model. The worker reads and writes the
 * bodies.
 */
import type { ModelVersion } from '../../models/model-version.ts'
import { PRIORITY_PARAMETERS } from '../../openapi/priority-parameters.ts'
import { readPackageVersion } from '../../package-files.ts'
import { checkModel } from '../http/access/caller.ts'
import { plainBody } from '../http/content-encoding.ts'
import { chooseVersion } from '../inference/choose-version.ts'
import { relay } from '../inference/relay.ts'
import { bodyParameter } from '../inference/request-parameters.ts'
import { textMember } from '../inference/text-member.ts'
import { ModelParams } from '../kserve/v2-schemas.ts'
import type { App, RouteContext } from '../route-context.ts'
import { baseName, requestedModel, withoutHandler } from './requested-model.ts'
import { infoOf } from './tei-info.ts'
import { TeiError, TeiInfo } from './tei-schemas.ts'
import { NAMED_ROUTES, TEI_ROUTES } from './text-route-table.ts'
import type { TextRoute } from './text-route-table.ts'

const TEI = 'text-embeddings-inference'

export async function textRoutes(app: App, context: RouteContext): Promise<void> {
  const { registry, config } = context
  for (const route of [
    ...NAMED_ROUTES,
    ...TEI_ROUTES.map((own) => ({ ...own, tag: TEI, error: TeiError })),
  ]) {
    app.post(route.url, { schema: schemaOf(route) }, async (request, reply) => {
      const name = textMember(await plainBody(request, config.maxBodyBytes), 'model')
      if (name !== undefined) checkModel(request, baseName(name))
      const find = (): ModelVersion => requestedModel(registry, name, request)
      return relay(find, bodyParameter(request), request, reply, route.dialect)
    })
  }
  for (const route of TEI_ROUTES) {
    const operationId = `${route.operationId}OfModel`
    const schema = schemaOf({ ...route, operationId, tag: TEI, error: TeiError })
    app.post(
      `/models/:model${route.url}`,
      { schema: { ...schema, params: ModelParams } },
      async (request, reply) => {
        const { model } = request.params
        const find = (): ModelVersion =>
          withoutHandler(registry.get(model, chooseVersion(registry, model, request)))
        return relay(find, bodyParameter(request), request, reply, route.dialect)
      },
    )
  }
  await infoRoutes(app, context)
}

/** `GET /info`, and the same for a model by its name. */
async function infoRoutes(app: App, { registry, config }: RouteContext): Promise<void> {
  const server = { version: await readPackageVersion(), queueSize: config.queueSize }
  const described = {
    summary: 'A model for texts and its limits, in the form of text-embeddings-inference',
    tags: [TEI],
    response: { 200: TeiInfo, '4xx': TeiError, '5xx': TeiError },
  }
  app.get(
    '/info',
    { schema: { operationId: 'textModelInfo', ...described } },
    async (request, reply) => {
      const model = requestedModel(registry, undefined)
      checkModel(request, model.name)
      return reply.send(await infoOf(model, server))
    },
  )
  app.get(
    '/models/:model/info',
    { schema: { operationId: 'textModelInfoOfModel', ...described, params: ModelParams } },
    async ({ params }, reply) =>
      reply.send(await infoOf(withoutHandler(registry.get(params.model)), server)),
  )
}

function schemaOf({ operationId, summary, tag, request, response, error }: TextRoute) {
  const content = { 'application/json': { schema: request } }
  return {
    operationId,
    summary,
    tags: [tag],
    response: { 200: response, '4xx': error, '5xx': error },
    openapi: { parameters: PRIORITY_PARAMETERS, requestBody: { required: true, content } },
  }
}
