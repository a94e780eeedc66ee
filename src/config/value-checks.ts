/** Checks of settings that are text, beyond what their schemas say. */
import { isIP } from 'node:net'
import { ConfigError } from '../errors.ts'
import { parseOrigin } from '../http-url.ts'
import type { Settings } from './layers.ts'

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/
/** A name of a method or header (RFC 9110). */
const HTTP_TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** A host name without scheme, port and path. */
const HOST_NAME = /^[^\s/:@?#[\]]+$/

/** A check of one text, and what the text has to be. */
type Rule = readonly [isRight: (text: string) => boolean, wanted: string]

const RULES: Readonly<Record<string, Rule>> = {
  host: [(text) => text.trim() !== '', 'an IP address or a host name, not empty'],
  allowedHosts: [(text) => HOST_NAME.test(text), 'host names without scheme and port'],
  allowedOrigins: [
    (text) => parseOrigin(text) !== undefined,
    'origins, such as https://models.example.com',
  ],
  corsOrigins: [
    (text) => text === '*' || (parseOrigin(text) !== undefined && !text.includes('*')),
    'origins, such as https://app.example.com, or *',
  ],
  corsMethods: [(text) => HTTP_TOKEN.test(text), 'names of HTTP methods'],
  corsHeaders: [(text) => HTTP_TOKEN.test(text), 'names of headers'],
  trustProxy: [isNetwork, 'IP addresses or networks, such as 10.0.0.0/8, or loopback'],
  recordRedact: [(text) => HTTP_TOKEN.test(text), 'names of headers or query parameters'],
  workerEnvironment: [(text) => VARIABLE.test(text), 'names of environment variables'],
}

function isNetwork(text: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [, address = '', prefix = '0'] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const version = isIP(address)
  return version !== 0 && Number(prefix) <= (version === 4 ? 32 : 128)
}

/**
 * Checks settings whose types are already right.
 * @param place Their origin, for the message.
 * @throws ConfigError that names the setting and the value.
 */
export function checkValues(settings: Settings, place: string): void {
  for (const [key, [isRight, wanted]] of Object.entries(RULES)) {
    const values = [settings[key] ?? []].flat()
    const wrong = values.find((value) => typeof value === 'string' && !isRight(value))
    if (wrong === undefined) continue
    throw new ConfigError(
      `A setting in ${place} is not valid: ${key} must be ${wanted}; got ${JSON.stringify(wrong)}.`,
    )
  }
}
