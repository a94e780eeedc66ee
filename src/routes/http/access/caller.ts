/** Who sent a request, and which models the sender may use. */
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../../../errors.ts'
import type { ServerErrorOptions } from '../../../errors.ts'
import type { Token } from './token-list.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Absent if the request needs no token. */
    caller: Caller | undefined
  }
  interface FastifyContextConfig {
    /**
     * Routes that need no token. `page`: files for browsers, in both areas. `open`: health of the
     * inference area. `optional`: documents of the inference area, which show a caller without a
     * token no models.
     */
    access?: 'page' | 'open' | 'optional'
  }
}

/** The sender of a request. */
export interface Caller {
  /** Absent for a sender without a token. */
  readonly tokenName: string | undefined
  /** Whether it may use and see a model. */
  mayUse(model: string): boolean
}

/** A sender without a token, for routes that need none. */
export const NOBODY: Caller = { tokenName: undefined, mayUse: () => false }

/** Rejects the token of a request. */
export class TokenError extends ServerError {
  /** Value of the header `WWW-Authenticate`. */
  readonly challenge: string

  constructor(
    type: 'UnauthorizedException' | 'ForbiddenException',
    message: string,
    challenge: string,
    options?: ServerErrorOptions,
  ) {
    super(type, message, options)
    this.challenge = `Bearer realm="onnxd"${challenge === '' ? '' : `, error="${challenge}"`}`
  }
}

/** The sender with this token. */
export function callerOf({ name, models }: Token): Caller {
  return {
    tokenName: name,
    mayUse: (model) => models === undefined || models.some((pattern) => fits(model, pattern)),
  }
}

/** Whether the sender of a request may use and see a model. */
export function mayUse({ caller }: Pick<FastifyRequest, 'caller'>, model: string): boolean {
  return caller === undefined || caller.mayUse(model)
}

/**
 * Rejects a model that the sender may not use. The error does not say whether it exists.
 * @throws TokenError 403
 */
export function checkModel(request: Pick<FastifyRequest, 'caller'>, model: string): void {
  if (mayUse(request, model)) return
  const text = 'The token of this request may not use this model.'
  throw new TokenError('ForbiddenException', text, 'insufficient_scope')
}

/** Whether a name fits a pattern, in which `*` stands for any characters. */
function fits(name: string, pattern: string): boolean {
  const [start = '', ...parts] = pattern.split('*')
  const end = parts.pop()
  if (end === undefined) return name === pattern
  if (!name.startsWith(start)) return false
  let from = start.length
  for (const part of parts) {
    const found = name.indexOf(part, from)
    if (found < 0) return false
    from = found + part.length
  }
  return name.endsWith(end) && from + end.length <= name.length
}
