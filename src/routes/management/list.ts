/**
 * `GET /models`: lists loaded models, failed loads, running loads and running uploads or downloads.
 */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FailedModel } from '../../models/loading/failures.ts'
import type { Load, LoadedIdentity } from '../../models/loading/loads.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Transfer } from '../../models/transfers/transfers.ts'
import { stringEnum } from '../../schema.ts'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'
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

const FailedSchema = Type.Object({
  modelName: Type.Optional(Type.String()),
  modelVersion: Type.Optional(Type.String()),
  modelUrl: Type.String(),
  reason: Type.String(),
  log: Type.Optional(
    Type.Array(Type.String(), { description: 'Last log lines of the worker, oldest first.' }),
  ),
  failedAt: Type.String(),
})

const TransferSchema = Type.Object({
  kind: stringEnum(['upload', 'download']),
  fileName: Type.Optional(
    Type.String({ description: 'File name of an upload, as soon as it is known.' }),
  ),
  modelUrl: Type.Optional(Type.String({ description: 'URL of a download.' })),
  bytes: Type.Integer({ description: 'Number of bytes received so far.' }),
  totalBytes: Type.Optional(
    Type.Integer({ description: 'Expected number of bytes, if the sender announced it.' }),
  ),
  startedAt: Type.String(),
})

const LoadingSchema = Type.Object({
  modelName: Type.String(),
  modelVersion: Type.Optional(Type.String()),
  modelUrl: Type.Optional(Type.String()),
  status: Type.Literal('LOADING'),
  startedAt: Type.Optional(Type.String()),
  seconds: Type.Optional(Type.Integer({ description: 'Time since the load began.' })),
})

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
      const loading = registry.loading.map((load) => {
        return showLoading(load, registry.loadOf(load.name, load.version))
      })
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

function showLoading(
  load: ModelVersion | LoadedIdentity,
  running: Load | undefined,
): Static<typeof LoadingSchema> {
  const { name, version } = load
  return {
    modelName: name,
    ...(version !== undefined && { modelVersion: version }),
    ...('prepared' in load && { modelUrl: load.prepared.url }),
    status: 'LOADING',
    ...(running !== undefined && {
      startedAt: running.startedAt.toISOString(),
      seconds: Math.floor(running.elapsedMs / 1000),
    }),
  }
}

function showFailure(failure: FailedModel): Static<typeof FailedSchema> {
  const { name, version, url, reason, log, failedAt } = failure
  return {
    ...(name !== undefined && { modelName: name }),
    ...(version !== undefined && { modelVersion: version }),
    modelUrl: url,
    reason,
    ...(log.length > 0 && { log: [...log] }),
    failedAt: failedAt.toISOString(),
  }
}

function showTransfer(transfer: Transfer): Static<typeof TransferSchema> {
  const { kind, name, bytes, totalBytes, startedAt } = transfer
  return {
    kind,
    ...(name !== undefined && { [kind === 'upload' ? 'fileName' : 'modelUrl']: name }),
    bytes,
    ...(totalBytes !== undefined && { totalBytes }),
    startedAt: startedAt.toISOString(),
  }
}
