import { Type } from '@sinclair/typebox'
import { stringEnum } from '../../schema.ts'
import type { App, RouteContext } from '../route-context.ts'

const Health = Type.Object({ status: stringEnum(['Healthy', 'Partial Healthy', 'Unhealthy']) })

/** Adds `/ping`: the original's body over all models; 503 instead of its 200 while nothing can be served. */
export function pingRoute(app: App, { registry, isAccepting }: RouteContext): void {
  app.get(
    '/ping',
    {
      schema: {
        operationId: 'ping',
        summary: 'Health over all models',
        tags: ['health'],
        response: { 200: Health, 503: Health },
      },
      logLevel: 'warn',
    },
    async (_request, reply) => {
      let ready = 0
      let wanted = 0
      for (const { status } of registry.all) {
        ready += Math.min(status.readyWorkers, status.wantedWorkers)
        wanted += status.wantedWorkers
      }
      if (!isAccepting() || (ready === 0 && wanted > 0))
        return reply.code(503).send({ status: 'Unhealthy' as const })
      return reply.send({
        status: ready < wanted ? ('Partial Healthy' as const) : ('Healthy' as const),
      })
    },
  )
}
