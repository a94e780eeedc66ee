/** Checks the API token of each request. */
import type { FastifyRequest } from 'fastify'
import type { App } from '../../route-context.ts'
import { isRepeated } from '../connections/message-check.ts'
import { NOBODY, TokenError, callerOf, modelRefused } from './caller.ts'
import type { Area } from './token-list.ts'
import type { Tokens } from './tokens.ts'

/** RFC 6749 accepts the word `Bearer` in any case. */
const BEARER = /^bearer +([\x21-\x7e]+) *$/i

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
    done(tokens.guards(area) ? problemOf(request, area, tokens) : undefined)
  })
}

/** Why a request is rejected. Sets its caller otherwise. */
function problemOf(request: FastifyRequest, area: Area, tokens: Tokens): Error | undefined {
  const { access } = request.routeOptions.config
  const { authorization } = request.headers
  // On the management listener every route needs a token.
  if (area === 'inference') {
    if (access === 'open') return undefined
    if (access === 'optional' && authorization === undefined) {
      request.caller = NOBODY
      return undefined
    }
  }
  // Node keeps the first of several headers; a proxy may have checked a different one.
  const isOne = !isRepeated(request.raw, 'authorization')
  const sent = isOne ? BEARER.exec(authorization ?? '')?.[1] : undefined
  const token = sent === undefined ? undefined : tokens.find(sent)
  if (token === undefined) return unauthorized(authorization)
  if (!token.areas.has(area)) {
    const text = `The token of this request is not valid for ${area}.`
    return new TokenError('ForbiddenException', text, 'insufficient_scope')
  }
  request.caller = callerOf(token)
  const model = modelNamedBy(request)
  return model === undefined || request.caller.mayUse(model) ? undefined : modelRefused()
}

function unauthorized(authorization: string | undefined): TokenError {
  const hasToken = /^bearer\b/i.test(authorization ?? '')
  const text = 'A valid bearer token is required.'
  return new TokenError('UnauthorizedException', text, hasToken ? 'invalid_token' : '')
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
