import { TokenError, callerOf } from './caller.ts'
import type { Caller } from './caller.ts'
import type { Area } from './token-list.ts'
import type { Tokens } from './tokens.ts'

/** RFC 6749 accepts the word `Bearer` in any case. */
const BEARER = /^bearer +([\x21-\x7e]+) *$/i

/**
 * Finds the sender of a request by its token.
 * @param authorization Value of the header; `undefined` if there is none or more than one.
 * @throws TokenError 401 without a valid token, 403 if the token is for the other area.
 */
export function authorize(tokens: Tokens, area: Area, authorization: string | undefined): Caller {
  const sent = BEARER.exec(authorization ?? '')?.[1]
  const token = sent === undefined ? undefined : tokens.find(sent)
  if (token === undefined) {
    const hasToken = /^bearer\b/i.test(authorization ?? '')
    const text = 'A valid bearer token is required.'
    throw new TokenError('UnauthorizedException', text, hasToken ? 'invalid_token' : '')
  }
  if (token.areas.has(area)) return callerOf(token)
  const text = `The token of this request is not valid for ${area}.`
  throw new TokenError('ForbiddenException', text, 'insufficient_scope')
}
