/** Limits the requests of each token or client address. */
import type { FastifyRequest } from 'fastify'
import type { Config } from '../../../config/config.ts'
import { ServerError } from '../../../errors.ts'
import type { App } from '../../route-context.ts'
import type { Area } from './token-list.ts'

export type RateLimitSettings = Pick<Config, 'rateLimit' | 'rateLimitWindow'>

/** Clients whose requests are counted. Beyond it, those that were seen longest ago are dropped. */
const MAX_CLIENTS = 10_000
/** A proxy may report any text as an address. */
const MAX_ADDRESS = 64

/**
 * Counts requests of the inference area, after their token was checked. Health paths are not
 * counted. A client is a token; without tokens it is an IPv4 address or an IPv6 network of 64 bits.
 */
export async function limitRate(
  app: App,
  { rateLimit: max, rateLimitWindow }: RateLimitSettings,
  areaOf: (request: FastifyRequest) => Area,
): Promise<void> {
  const { default: plugin, normalizeIP } = await import('@fastify/rate-limit')
  await app.register(plugin, { global: false, cache: MAX_CLIENTS })
  const count = app.createRateLimit({
    max,
    timeWindow: rateLimitWindow * 1000,
    keyGenerator: ({ caller, ip }) =>
      caller?.tokenName === undefined
        ? `address ${normalizeIP(withoutPort((ip ?? '').slice(0, MAX_ADDRESS)))}`
        : `token ${caller.tokenName}`,
  })
  app.addHook('onRequest', async (request) => {
    const { access } = request.routeOptions.config
    if (areaOf(request) === 'management' || access === 'open' || access === 'page') return
    const rate = await count(request)
    if (!rate.isAllowed && rate.isExceeded)
      throw tooMany(`${max} in ${rateLimitWindow} seconds`, rate.ttlInSeconds)
  })
}

/** Some proxies report `192.0.2.1:5678` or `[2001:db8::1]:5678`, with another port each time. */
function withoutPort(address: string): string {
  const [, v4, v6] = /^(?:([\d.]+)|\[([\da-f:.]+)\])(?::\d+)?$/i.exec(address) ?? []
  return v4 ?? v6 ?? address
}

function tooMany(limit: string, retryAfterSeconds: number): ServerError {
  const text = `Too many requests. The limit is ${limit}.`
  return new ServerError('TooManyRequestsException', text, { retryAfterSeconds })
}
