import { Type } from '@sinclair/typebox'
import { stringEnum } from '../../schema.ts'
import type { App, RouteContext } from '../route-context.ts'

const Health = Type.Object({ status: stringEnum(['Healthy', 'Partial Healthy', 'Unhealthy']) })

/**
 * Adds `/ping` with the body of MMS for all models. If no model can serve requests it sends 503;
 * MMS sends 200.
 */
export function pingRoute(app: App, { registry, isAccepting }: RouteContext): void {
  app.get(
    '/ping',
    {
      config: { access: 'open' },
      schema: {
        operationId: 'ping',
        summary: 'Health of the server and all its models',
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
