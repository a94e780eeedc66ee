import { Type } from '@sinclair/typebox'
import { stringEnum } from '../../schema.ts'
import { healthOf } from '../process-health.ts'
import type { App, RouteContext } from '../route-context.ts'

const Health = Type.Object({ status: stringEnum(['Healthy', 'Partial Healthy', 'Unhealthy']) })

/**
 * Adds `/ping` with the body of MMS for all models. If no model can serve requests it sends 503;
 * MMS sends 200.
 */
export function pingRoute(
  app: App,
  { registry, isAccepting, healthElsewhere }: RouteContext,
): void {
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
      if (!isAccepting()) return reply.code(503).send({ status: 'Unhealthy' as const })
      let ready = 0
      let wanted = 0
      const others = (await healthElsewhere?.()) ?? []
      for (const { readyWorkers, wantedWorkers } of [healthOf(registry), ...others]) {
        ready += readyWorkers
        wanted += wantedWorkers
      }
      if (ready === 0 && wanted > 0) return reply.code(503).send({ status: 'Unhealthy' as const })
      return reply.send({
        status: ready < wanted ? ('Partial Healthy' as const) : ('Healthy' as const),
      })
    },
  )
}
