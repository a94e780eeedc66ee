/**
 * Metrics in the text format of Prometheus, with the URL and the query of TorchServe's metrics API.
 */
import { Type } from '@sinclair/typebox'
import type { App, RouteContext } from './route-context.ts'
import { errorResponses } from './schemas.ts'

const MetricsQuery = Type.Object({
  'name[]': Type.Optional(
    Type.Array(Type.String(), {
      maxItems: 100,
      description: 'Name of a metric to return. May be repeated. Default: all metrics.',
    }),
  ),
})

/** Adds `/metrics`. */
export function metricsRoute(app: App, { metrics, others }: RouteContext): void {
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'metrics',
        summary: 'Metrics in the text format of Prometheus',
        tags: ['management'],
        querystring: MetricsQuery,
        response: { 200: Type.String(), ...errorResponses },
        openapi: {
          responses: {
            200: {
              description: 'All metrics, or those that the query names.',
              content: { 'text/plain': { schema: { type: 'string' } } },
            },
          },
        },
      },
    },
    async ({ query }, reply) => {
      const names = query['name[]'] ?? []
      const own = await metrics.text(names)
      const text = (await others?.metrics(own, names)) ?? own
      return reply.type(metrics.contentType).send(text)
    },
  )
}
