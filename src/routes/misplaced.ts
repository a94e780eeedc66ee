import { isLoopback } from '../loopback.ts'
import { notFound } from './http/error-handler.ts'
import type { App, RouteContext } from './route-context.ts'

/** Paths that only the management listener has. */
const MANAGEMENT_PATH = /^\/(?:models|metrics)(?:[/?]|$)/

/**
 * For the inference listener: the 404 of a management path says where that path is served. Call it
 * before `refuseOtherMethods`.
 */
export function pointToManagement(app: App, context: RouteContext): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const isMisplaced = request.is404 && MANAGEMENT_PATH.test(request.url)
    const place = isMisplaced ? placeOf(context) : undefined
    if (place === undefined) done()
    else done(notFound(`Management paths are served ${place}.`))
  })
}

/** Clients of the inference listener must not learn another address of this machine. */
function placeOf({ config, managementUrl }: RouteContext): string | undefined {
  const url = managementUrl()
  if (url === undefined) return undefined
  return isLoopback(config.managementHost) ? `at ${url}` : `on port ${new URL(url).port}`
}
