/** Adds the checks of senders to an app. Checks that no setting asks for cost nothing. */
import type { FastifyRequest } from 'fastify'
import type { App, RouteContext } from '../../route-context.ts'
import { guardWithTokens } from './token-guard.ts'
import type { Area } from './token-list.ts'

/**
 * Call it before the first route is added.
 * @param areaOf The area of a request's route.
 */
export function protect(
  app: App,
  { access }: RouteContext,
  areaOf: (request: FastifyRequest) => Area,
): void {
  if (access.tokens !== undefined) guardWithTokens(app, access.tokens, areaOf)
}
