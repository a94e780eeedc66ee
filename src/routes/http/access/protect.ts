/** Adds the checks of senders to an app. Checks that no setting asks for cost nothing. */
import type { FastifyRequest } from 'fastify'
import type { App, RouteContext } from '../../route-context.ts'
import { allowOrigins } from './cors.ts'
import { limitRate } from './rate-limit.ts'
import { guardWithTokens } from './token-guard.ts'
import type { Area } from './token-list.ts'

/**
 * Call it before the first route is added.
 * @param areaOf The area of a request's route.
 */
export async function protect(
  app: App,
  { access, config }: RouteContext,
  areaOf: (request: FastifyRequest) => Area,
): Promise<void> {
  if (config.corsOrigins.length > 0) await allowOrigins(app, config, areaOf)
  if (access.tokens !== undefined) guardWithTokens(app, access.tokens, areaOf)
  if (config.rateLimit > 0) await limitRate(app, config, areaOf)
}
