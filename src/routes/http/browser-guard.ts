/**
 * Keeps web pages away from the operators' routes. A browser on the operator's machine reaches
 * loopback for any page that it shows: by a form or `fetch` of the page (CSRF), or by a name of the
 * page's own server that suddenly resolves to 127.0.0.1 (DNS rebinding).
 */
import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import { ServerError } from '../../errors.ts'
import type { App } from '../route-context.ts'

/** Methods that change nothing; a browser shows no page the response of a foreign server. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
/** Bodies that a page may send anywhere without asking first (the "simple" ones of CORS). */
const SIMPLE_TYPE = /^\s*(?:application\/x-www-form-urlencoded|multipart\/form-data|text\/plain)\b/i
/** `Host` as RFC 9112 has it: a name, an IPv4 address or a bracketed IPv6 address, then a port. */
const HOST = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d*)?$/i

/** Settings that the guard reads. */
export type GuardSettings = Pick<
  Config,
  'host' | 'managementHost' | 'allowedHosts' | 'insecureManagement' | 'managementToken'
>

/**
 * Rejects requests of web pages with 403 before their body is read. With a token configured nothing is
 * checked here: a page does not know the token, and requests without it get 401.
 */
export function guardAgainstBrowsers(app: App, settings: GuardSettings): void {
  if (settings.managementToken !== '') return
  app.addHook('onRequest', (request, _reply, done) => {
    const problem = hostProblem(request, settings) ?? originProblem(request)
    done(problem === undefined ? undefined : new ServerError('ForbiddenException', problem))
  })
}

/** A name in `Host` that nobody configured may be a page's own, rebound to this machine. */
function hostProblem({ headers }: FastifyRequest, settings: GuardSettings): string | undefined {
  const { host } = headers
  // Every browser sends it; HTTP/1.0 clients and probes need not. An open listener has unknown names.
  if (host === undefined || host === '' || settings.insecureManagement) return undefined
  const name = hostNameOf(host)
  const known = [settings.host, settings.managementHost, ...settings.allowedHosts]
  if (name !== undefined && (isLocal(name) || known.some((each) => normalize(each) === name)))
    return undefined
  return 'Management without a token does not answer to this Host. Use an IP address or localhost, or list the name in allowedHosts.'
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
    ? 'Management without a token does not take requests of web pages. Use another client, or set ONNXD_MANAGEMENT_TOKEN and send the token.'
    : undefined
}

function isForeign({ method, headers }: FastifyRequest): boolean {
  const isSafe = SAFE_METHODS.has(method)
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') {
    // A link that the operator follows shows them a page; it hands that page to nobody.
    const isLink = isSafe && headers['sec-fetch-mode'] === 'navigate'
    if (!isLink) return true
  }
  if (headers.origin !== undefined) return !isSameHost(headers.origin, headers.host)
  // Browsers without these headers: old ones, which still send where they come from.
  if (isSafe || site !== undefined || !SIMPLE_TYPE.test(headers['content-type'] ?? '')) return false
  if (headers.referer !== undefined) return !isSameHost(headers.referer, headers.host)
  return /^mozilla\//i.test(headers['user-agent'] ?? '')
}

/** Hosts and ports alone: a proxy in front may speak TLS where this server does not. */
function isSameHost(url: string, host: string | undefined): boolean {
  try {
    return new URL(url).host === new URL(`http://${host ?? ''}`).host
  } catch {
    return false
  }
}
