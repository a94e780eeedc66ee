/** The first line of a request, as the router takes it. */
import type { IncomingMessage } from 'node:http'

/** Methods that some route can have, and the one that stands for all others. */
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

/** Methods that were replaced, as the clients sent them. */
const replaced = new WeakMap<IncomingMessage, string>()

/**
 * For Fastify's `rewriteUrl`: returns the URL without the host that some clients and proxies write
 * into it. A method that no route has becomes `TRACE`, for which each path has a route that answers
 * 405: a route for each of Node's 35 methods would make the start longer by a tenth of a second.
 */
export function readRequestTarget(request: IncomingMessage): string {
  const { method = '', url = '/' } = request
  if (!ROUTED.has(method)) {
    replaced.set(request, method)
    request.method = 'TRACE'
  }
  return pathOf(url)
}

/** A URL in the form that begins with its path. */
export function pathOf(url: string): string {
  if (url.startsWith('/') || !ABSOLUTE.test(url)) return url
  const rest = url.replace(ABSOLUTE, '')
  return rest.startsWith('/') ? rest : `/${rest}`
}

/** The method as the client sent it. */
export function sentMethod(request: IncomingMessage): string | undefined {
  return replaced.get(request) ?? request.method
}
