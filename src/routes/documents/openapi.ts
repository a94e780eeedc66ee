/** Routes of the OpenAPI documents. */
import { Type } from '@sinclair/typebox'
import { OPENAPI_VERSIONS } from '../../openapi/types.ts'
import { stringEnum } from '../../schema.ts'
import { findModel } from '../kserve/v2-models.ts'
import { ModelParams, VersionParams } from '../kserve/v2-schemas.ts'
import type { App, RouteContext } from '../route-context.ts'
import { documented } from './api-documents.ts'
import type { ApiDocuments } from './api-documents.ts'

const VersionQuery = Type.Object({
  version: Type.Optional(
    stringEnum(OPENAPI_VERSIONS, {
      default: OPENAPI_VERSIONS[0],
      description:
        'Version of OpenAPI. Use the older one for generators that do not support the newer one.',
    }),
  ),
})
const documentResponses = (type: string) => ({
  200: {
    description: 'The OpenAPI document.',
    content: { [type]: { schema: { type: 'object' } } },
  },
  304: {
    description: 'The document has not changed since the version that `If-None-Match` names.',
  },
})
const tags = ['documents']

/** Adds `/openapi.json` and `/openapi.yaml`. */
export function documentRoutes(app: App, documents: ApiDocuments): void {
  for (const format of ['json', 'yaml'] as const) {
    app.get(
      `/openapi.${format}`,
      {
        config: { access: 'optional' },
        schema: {
          operationId: `openApi${format === 'json' ? 'Json' : 'Yaml'}`,
          summary: `This document as ${format.toUpperCase()}`,
          tags,
          querystring: VersionQuery,
          openapi: { responses: documentResponses(`application/${format}`) },
        },
      },
      (request, reply) =>
        documents.send(request, reply, {
          format,
          version: request.query.version ?? OPENAPI_VERSIONS[0],
        }),
    )
  }
}

/** Adds `/v2/models/{model}[/versions/{version}]/openapi.json`. */
export function modelDocumentRoutes(
  app: App,
  { registry }: RouteContext,
  documents: ApiDocuments,
): void {
  const openapi = { responses: documentResponses('application/json') }
  app.get(
    '/v2/models/:model/openapi.json',
    {
      schema: {
        operationId: 'modelOpenApi',
        summary: 'OpenAPI document of a model, for its default version',
        tags,
        params: ModelParams,
        querystring: VersionQuery,
        openapi,
      },
    },
    (request, reply) => {
      const { params, query } = request
      const model = documented(findModel(registry, params.model), false)
      const version = query.version ?? OPENAPI_VERSIONS[0]
      return documents.send(request, reply, { format: 'json', version, model })
    },
  )

  app.get(
    '/v2/models/:model/versions/:version/openapi.json',
    {
      schema: {
        operationId: 'modelVersionOpenApi',
        summary: 'OpenAPI document of one version of a model',
        tags,
        params: VersionParams,
        querystring: VersionQuery,
        openapi,
      },
    },
    (request, reply) => {
      const { params, query } = request
      const model = documented(findModel(registry, params.model, params.version), true)
      const version = query.version ?? OPENAPI_VERSIONS[0]
      return documents.send(request, reply, { format: 'json', version, model })
    },
  )
}
