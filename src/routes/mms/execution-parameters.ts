/** `GET /execution-parameters`: how SageMaker's batch transform should call this container. */
import { Type } from '@sinclair/typebox'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'

const MIB = 1024 * 1024
/** The platform allows no more for all requests that are under way together. */
const MAX_TOGETHER_MIB = 100
/** The platform's own default; what fits in less is no reason to have more requests at once. */
const LEAST_SHARE_MIB = 6
const MAX_CONCURRENT = Math.floor(MAX_TOGETHER_MIB / LEAST_SHARE_MIB)

const ExecutionParameters = Type.Object({
  MaxConcurrentTransforms: Type.Integer({ description: 'Requests that are worked on at once.' }),
  BatchStrategy: Type.Literal('SINGLE_RECORD'),
  MaxPayloadInMB: Type.Integer(),
})

/**
 * Adds the route. Requests at once: workers times batch size, of the only model, else as the settings
 * have it. One record a request: a handler reads one document, and batches are formed here.
 */
export function executionParametersRoute(app: App, { config, registry }: RouteContext): void {
  app.get(
    '/execution-parameters',
    {
      schema: {
        operationId: 'executionParameters',
        summary: 'How SageMaker’s batch transform should call this server',
        tags: ['health'],
        response: { 200: ExecutionParameters, ...errorResponses },
      },
    },
    async (_request, reply) => {
      const { only } = registry
      const workers = only?.wanted.min ?? config.workers
      const batchSize = only?.settings.batchSize ?? config.batchSize
      const concurrent = Math.min(Math.max(1, workers * batchSize), MAX_CONCURRENT)
      // A body of any kind is taken up to here.
      const largestMib = Math.floor(Math.min(config.maxBodyBytes, config.maxJsonBytes) / MIB)
      const share = Math.floor(MAX_TOGETHER_MIB / concurrent)
      return reply.send({
        MaxConcurrentTransforms: concurrent,
        BatchStrategy: 'SINGLE_RECORD' as const,
        // 0 would mean that there is no limit.
        MaxPayloadInMB: Math.max(1, Math.min(largestMib, share)),
      })
    },
  )
}
