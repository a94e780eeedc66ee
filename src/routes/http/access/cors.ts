/** Lets web pages of other origins use the inference routes. */
import type { FastifyRequest } from 'fastify'
import type { Config } from '../../../config/config.ts'
import { parseOrigin } from '../../../http-url.ts'
import type { App } from '../../route-context.ts'
import type { Area } from './token-list.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Headers for a web page, as a flat list of names and values, for responses that Fastify does
     * not send. Absent if no page of another origin may use the server.
     */
    corsHeaders: readonly string[] | undefined
  }
}

export type CorsSettings = Pick<Config, 'corsOrigins' | 'corsMethods' | 'corsHeaders'>

/** Methods of the inference routes. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT']
/** Headers that a page may read, besides those that it may always read. */
const EXPOSED = [
  'Inference-Header-Content-Length',
  'Retry-After',
  'Server-Timing',
  'WWW-Authenticate',
  'X-Request-Id',
]
/** How long a browser may remember a preflight request. */
const MAX_AGE_SECONDS = 600

/**
 * Preflight requests get their response here, before the token is checked: browsers send none with
 * them. Other `OPTIONS` requests go to their routes. Management routes are never allowed.
 */
export async function allowOrigins(
  app: App,
  { corsOrigins, corsMethods, corsHeaders }: CorsSettings,
  areaOf: (request: FastifyRequest) => Area,
): Promise<void> {
  const { default: cors } = await import('@fastify/cors')
  const options = {
    origin: corsOrigins.includes('*') ? '*' : corsOrigins.map((one) => parseOrigin(one) ?? one),
    methods: corsMethods.length > 0 ? [...corsMethods] : METHODS,
    // Without a list, the headers that the page asks for are allowed.
    ...(corsHeaders.length > 0 && { allowedHeaders: [...corsHeaders] }),
    exposedHeaders: EXPOSED,
    maxAge: MAX_AGE_SECONDS,
    strictPreflight: false,
  }
  await app.register(cors, {
    delegator: (request, done) =>
      done(null, {
        ...options,
        ...(areaOf(request) === 'management' && { origin: false }),
        preflight: isPreflight(request),
      }),
  })
  app.decorateRequest('corsHeaders', undefined)
  app.addHook('onRequest', (request, reply, done) => {
    const headers = Object.entries(reply.getHeaders())
    const own = headers.filter(([name]) => name === 'vary' || name.startsWith('access-control-'))
    request.corsHeaders = own.flatMap(([name, value]) => [name, String(value)])
    done()
  })
}

function isPreflight({ headers }: FastifyRequest): boolean {
  return headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}
