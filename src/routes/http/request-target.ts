/** Normalizes the method and the URL of a request for the router. */
import type { IncomingMessage } from 'node:http'

/** Methods that a route may have. `TRACE` stands for all other methods. */
const ROUTED: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
])
const ABSOLUTE = /^https?:\/\/[^/?#]*/i

/** The original methods of requests whose method was replaced. */
const replaced = new WeakMap<IncomingMessage, string>()

/**
 * For Fastify's `rewriteUrl`: returns the URL without the host that some clients and proxies write
 * into it. A method that no route supports becomes `TRACE`, for which every path has a route that
 * sends 405. Routes for all of Node's 35 methods would add a tenth of a second to the start.
 */
export function readRequestTarget(request: IncomingMessage): string {
  const { method = '', url = '/' } = request
  if (!ROUTED.has(method)) {
    replaced.set(request, method)
    request.method = 'TRACE'
  }
  return pathOf(url)
}

/** The URL without scheme and host. */
export function pathOf(url: string): string {
  if (url.startsWith('/') || !ABSOLUTE.test(url)) return url
  const rest = url.replace(ABSOLUTE, '')
  return rest.startsWith('/') ? rest : `/${rest}`
}

/** The method that the client sent. */
export function sentMethod(request: IncomingMessage): string | undefined {
  return replaced.get(request) ?? request.method
}
