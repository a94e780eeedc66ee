/**
 * Protects the operators' routes from web pages. A page that is open in a browser on the operator's
 * machine can reach loopback in two ways: with a form or `fetch` (CSRF), or with a host name of its
 * own that later resolves to 127.0.0.1 (DNS rebinding).
 */
import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import { ServerError } from '../../errors.ts'
import type { App } from '../route-context.ts'

/** Methods that change nothing. A browser hides the response of another origin from the page. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
/** Content types that a page may send to any origin without a CORS preflight request. */
const SIMPLE_TYPE = /^\s*(?:application\/x-www-form-urlencoded|multipart\/form-data|text\/plain)\b/i
/**
 * The header `Host` of RFC 9112: a name, an IPv4 address or an IPv6 address in brackets, then a
 * port.
 */
const HOST = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d*)?$/i

/** Settings that the guard reads. */
export type GuardSettings = Pick<
  Config,
  'host' | 'managementHost' | 'allowedHosts' | 'insecureManagement'
>

/**
 * Rejects requests of web pages with 403 before their body is read. While requests need a token,
 * the guard does nothing: a page does not know the token and gets 401.
 */
export function guardAgainstBrowsers(
  app: App,
  settings: GuardSettings,
  needsToken: () => boolean,
): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (needsToken()) return done()
    const problem = hostProblem(request, settings) ?? originProblem(request)
    done(problem === undefined ? undefined : new ServerError('ForbiddenException', problem))
  })
}

/**
 * Rejects a host name that is not configured: it may belong to a web page and resolve to this
 * machine.
 */
function hostProblem({ headers }: FastifyRequest, settings: GuardSettings): string | undefined {
  const { host } = headers
  // Browsers always send the header; HTTP/1.0 clients and probes may not. With `insecureManagement`
  // the names of the host are not known.
  if (host === undefined || host === '' || settings.insecureManagement) return undefined
  const name = hostNameOf(host)
  const known = [settings.host, settings.managementHost, ...settings.allowedHosts]
  if (name !== undefined && (isLocal(name) || known.some((each) => normalize(each) === name)))
    return undefined
  return 'The management listener has no token and rejects this Host header. Use an IP address or localhost, or add the host name to allowedHosts.'
}

function hostNameOf(host: string): string | undefined {
  const [, address, name] = HOST.exec(host) ?? []
  const found = address ?? name
  return found === undefined ? undefined : normalize(found)
}

function normalize(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}

function isLocal(name: string): boolean {
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')
}

function originProblem(request: FastifyRequest): string | undefined {
  return isForeign(request)
    ? 'The management listener has no token and rejects requests from web pages. Use another client, or set ONNXD_MANAGEMENT_TOKEN and send the token.'
    : undefined
}

function isForeign({ method, headers }: FastifyRequest): boolean {
  const isSafe = SAFE_METHODS.has(method)
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') {
    // A link that the operator follows shows the response to the operator, not to a page.
    const isLink = isSafe && headers['sec-fetch-mode'] === 'navigate'
    if (!isLink) return true
  }
  if (headers.origin !== undefined) return !isSameHost(headers.origin, headers.host)
  // Old browsers do not send these headers, but most send `Referer`.
  if (isSafe || site !== undefined || !SIMPLE_TYPE.test(headers['content-type'] ?? '')) return false
  if (headers.referer !== undefined) return !isSameHost(headers.referer, headers.host)
  return /^mozilla\//i.test(headers['user-agent'] ?? '')
}

/** Compares host and port only: a proxy may use TLS where this server does not. */
function isSameHost(url: string, host: string | undefined): boolean {
  try {
    return new URL(url).host === new URL(`http://${host ?? ''}`).host
  } catch {
    return false
  }
}
