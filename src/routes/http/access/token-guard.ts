/** Checks the API token of each request. */
import type { FastifyRequest } from 'fastify'
import type { App } from '../../route-context.ts'
import { isRepeated } from '../connections/message-check.ts'
import { authorize } from './authorize.ts'
import { NOBODY, checkModel } from './caller.ts'
import type { Area } from './token-list.ts'
import type { Tokens } from './tokens.ts'

/**
 * Checks the token before any other part of a request. All rejections look the same. Paths that do
 * not exist need a token too.
 * @param areaOf The area of a request's route.
 */
export function guardWithTokens(
  app: App,
  tokens: Tokens,
  areaOf: (request: FastifyRequest) => Area,
): void {
  app.decorateRequest('caller', undefined)
  app.addHook('onRequest', (request, _reply, done) => {
    const area = areaOf(request)
    if (!tokens.guards(area) || needsNone(request, area)) return done()
    try {
      checkToken(request, area, tokens)
    } catch (error) {
      return done(error instanceof Error ? error : new Error(String(error)))
    }
    done()
  })
}

/** On the management listener every route needs a token but files for browsers. */
function needsNone({ routeOptions }: FastifyRequest, area: Area): boolean {
  const { access } = routeOptions.config
  return access === 'page' || (area === 'inference' && access === 'open')
}

/** Sets the caller of a request. @throws TokenError */
function checkToken(request: FastifyRequest, area: Area, tokens: Tokens): void {
  const { raw, routeOptions } = request
  const { authorization } = request.headers
  const isOptional = area === 'inference' && routeOptions.config.access === 'optional'
  if (isOptional && authorization === undefined) {
    request.caller = NOBODY
    return
  }
  // Node keeps the first of several headers; a proxy may have checked a different one.
  const isOne = !isRepeated(raw, 'authorization')
  request.caller = authorize(tokens, area, isOne ? authorization : undefined)
  const model = modelNamedBy(request)
  if (model !== undefined) checkModel(request, model)
}

/**
 * The name in the path, or in the query of `/invocations`. Routes whose body names the model check
 * it themselves, and `relay` checks the model that was found.
 */
function modelNamedBy({ params, query }: FastifyRequest): string | undefined {
  const { model } = params as { model?: unknown }
  const { model_name: queried } = query as { model_name?: unknown }
  const name = model ?? queried
  return typeof name === 'string' && name !== '' ? name : undefined
}
