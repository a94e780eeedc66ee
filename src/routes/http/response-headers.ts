/** Headers of all responses. */
import type { App } from '../route-context.ts'

/** Browsers must not render the output of a model as a web page. */
export const SECURITY_HEADERS = { 'x-content-type-options': 'nosniff' } as const

const COMMON = {
  ...SECURITY_HEADERS,
  pragma: 'no-cache',
  'cache-control': 'no-cache, no-store, must-revalidate, private',
  expires: 'Thu, 01 Jan 1970 00:00:00 UTC',
} as const
const COMMON_PAIRS = Object.entries(COMMON)
const COMMON_LIST: readonly string[] = COMMON_PAIRS.flat()

/** Pairs of name and value. */
export function answerHeaders(requestId: string): [name: string, value: string][] {
  return [['x-request-id', requestId], ...COMMON_PAIRS]
}

/**
 * Adds the headers to the responses that Fastify sends. `send-prediction.ts` writes predictions
 * without Fastify and sets them itself.
 */
export function addAnswerHeaders(app: App): void {
  app.addHook('onSend', (request, reply, payload, done) => {
    for (const [name, value] of answerHeaders(request.id)) {
      if (!reply.hasHeader(name)) reply.header(name, value)
    }
    // Fastify adds a charset, which JSON does not define (RFC 8259, section 11). KServe's client
    // compares the content type exactly.
    if (reply.getHeader('content-type') === 'application/json; charset=utf-8') {
      reply.header('content-type', 'application/json')
    }
    done(null, payload)
  })
}

/** For Node's `writeHead`: a flat list of names and values. The caller may add to it. */
export function answerHeaderList(requestId: string): string[] {
  return ['x-request-id', requestId, ...COMMON_LIST]
}
