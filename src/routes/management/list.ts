/**
 * `GET /models`: lists loaded models, failed loads, running loads and running uploads or downloads.
 */
import { Type } from '@sinclair/typebox'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'
import {
  FailedSchema,
  LoadingSchema,
  TransferSchema,
  showFailure,
  showLoads,
  showTransfer,
} from './list-entries.ts'
import { takeParameters } from './parameters.ts'

const MAX_INT32 = 2 ** 31 - 1
const MAX_PAGE = 100

export const ListQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MAX_INT32,
        description: 'Maximum number of models on a page; at most 100.',
      }),
    ),
    next_page_token: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_INT32 })),
  },
  { additionalProperties: false },
)

const ModelList = Type.Object({
  nextPageToken: Type.Optional(Type.String()),
  models: Type.Array(Type.Object({ modelName: Type.String(), modelUrl: Type.String() })),
  loading: Type.Optional(
    Type.Array(LoadingSchema, { description: 'Models that are being loaded.' }),
  ),
  failed: Type.Optional(
    Type.Array(FailedSchema, {
      description: 'Models that could not be loaded, with the reason.',
    }),
  ),
  transfers: Type.Optional(
    Type.Array(TransferSchema, { description: 'Running uploads and downloads of models.' }),
  ),
})

/** Adds the route that lists the models. */
export function listRoute(app: App, context: RouteContext): void {
  const { registry, deliveries } = context
  app.get(
    '/models',
    {
      schema: {
        operationId: 'listModels',
        summary: 'List the models',
        tags: ['management'],
        querystring: ListQuery,
        response: { 200: ModelList, ...errorResponses },
      },
      preValidation: takeParameters(ListQuery, context),
    },
    async ({ query }, reply) => {
      const { names } = registry
      const start = query.next_page_token ?? 0
      const end = start + Math.min(query.limit ?? MAX_PAGE, MAX_PAGE)
      const models = names.slice(start, end).map((modelName) => ({
        modelName,
        modelUrl: registry.get(modelName).prepared.url,
      }))
      const loading = showLoads(registry)
      const failed = registry.failures.all.map(showFailure)
      const transfers = deliveries.transfers.current.map(showTransfer)
      return reply.send({
        ...(end < names.length && { nextPageToken: String(end) }),
        models,
        ...(loading.length > 0 && { loading }),
        ...(failed.length > 0 && { failed }),
        ...(transfers.length > 0 && { transfers }),
      })
    },
  )
}
