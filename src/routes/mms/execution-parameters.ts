/** `GET /execution-parameters`: tells SageMaker's batch transform how to call this server. */
import { Type } from '@sinclair/typebox'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'

const MIB = 1024 * 1024
/** SageMaker's limit for all requests that run at the same time, together. */
const MAX_TOGETHER_MIB = 100
/**
 * SageMaker's default payload limit. Concurrency is limited so that each request can have this
 * size.
 */
const LEAST_SHARE_MIB = 6
const MAX_CONCURRENT = Math.floor(MAX_TOGETHER_MIB / LEAST_SHARE_MIB)

const ExecutionParameters = Type.Object({
  MaxConcurrentTransforms: Type.Integer({ description: 'Maximum number of concurrent requests.' }),
  BatchStrategy: Type.Literal('SINGLE_RECORD'),
  MaxPayloadInMB: Type.Integer(),
})

/**
 * Adds the route. Concurrent requests: workers times batch size, of the only model or else of the
 * server settings. One record per request, because a handler reads one document and the server
 * forms the batches.
 */
export function executionParametersRoute(app: App, { config, registry }: RouteContext): void {
  app.get(
    '/execution-parameters',
    {
      schema: {
        operationId: 'executionParameters',
        summary: 'Recommended settings for SageMaker batch transform',
        tags: ['health'],
        response: { 200: ExecutionParameters, ...errorResponses },
      },
    },
    async (_request, reply) => {
      const { only } = registry
      const workers = only?.wanted.min ?? config.workers
      const batchSize = only?.settings.batchSize ?? config.batchSize
      const concurrent = Math.min(Math.max(1, workers * batchSize), MAX_CONCURRENT)
      // Bodies of every content type are accepted up to this size.
      const largestMib = Math.floor(Math.min(config.maxBodyBytes, config.maxJsonBytes) / MIB)
      const share = Math.floor(MAX_TOGETHER_MIB / concurrent)
      return reply.send({
        MaxConcurrentTransforms: concurrent,
        BatchStrategy: 'SINGLE_RECORD' as const,
        // 0 would mean no limit.
        MaxPayloadInMB: Math.max(1, Math.min(largestMib, share)),
      })
    },
  )
}
