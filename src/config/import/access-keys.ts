/** Keys of MMS and TorchServe that say who may send requests: addresses, TLS and CORS. */
import { ConfigError } from '../../errors.ts'
import { parseOrigin } from '../../http-url.ts'
import type { MappedKey, RuleContext } from './mapped-key.ts'

/** The settings of a listener, and the ports that MMS and TorchServe use if a file has none. */
interface ListenerKeys {
  readonly host: string
  readonly port: string
  readonly usualPort: number
  readonly usualTlsPort: number
}

export const INFERENCE = { host: 'host', port: 'port', usualPort: 80, usualTlsPort: 443 }
export const MANAGEMENT = {
  host: 'managementHost',
  port: 'managementPort',
  usualPort: 8081,
  usualTlsPort: 8444,
}
const ADDRESSES = ['inference_address', 'management_address']

/** Converts the address of a listener. */
export function address(
  value: string,
  { host, port, usualPort, usualTlsPort }: ListenerKeys,
  { properties }: RuleContext,
): MappedKey[] {
  if (/^unix:/i.test(value)) return [{ reason: 'onnxd listens on TCP ports only' }]
  const isSecure = /^https:/i.test(value)
  if (isSecure && !usesTls(properties))
    return [{ reason: 'https needs private_key_file and certificate_file' }]
  const [, name = '', digits] =
    /^https?:\/\/(\[[0-9A-Fa-f:.]+\]|[^:/[\]\s]+)(?::(\d{1,5}))?\/?$/i.exec(value) ?? []
  const usual = isSecure ? usualTlsPort : usualPort
  const number = digits === undefined ? usual : Number(digits)
  if (name === '' || number > 65_535)
    throw new ConfigError('the value must have the form http://host:port.')
  return [
    { setting: host, value: name.replace(/^\[|\]$/g, '') },
    { setting: port, value: number },
  ]
}

/** In MMS and TorchServe, a listener uses TLS if its address begins with https. */
function usesTls(properties: ReadonlyMap<string, string>): boolean {
  const hasFiles = ['private_key_file', 'certificate_file'].every((key) => {
    return (properties.get(key)?.trim() ?? '') !== ''
  })
  return hasFiles && ADDRESSES.some((key) => /^\s*https:/i.test(properties.get(key) ?? ''))
}

/** Converts the path of a PEM file. */
export function tlsFile(value: string, setting: string, { properties }: RuleContext): MappedKey[] {
  if (!usesTls(properties)) return [{ reason: 'no address begins with https' }]
  return [{ setting, value, note: 'for both listeners' }]
}

/** Converts the origins of web pages. MMS and TorchServe allow them on both listeners. */
export function corsOrigins(value: string): MappedKey[] {
  const origins = listOf(value)
  if (origins.some((one) => one !== '*' && parseOrigin(one) === undefined))
    return [{ reason: 'it must be an origin, such as https://app.example.com, or *' }]
  return [{ setting: 'corsOrigins', value: origins, note: 'for the inference listener only' }]
}

/** Converts a list of methods or headers for web pages. */
export function corsList(value: string, setting: string, { properties }: RuleContext): MappedKey[] {
  if ((properties.get('cors_allowed_origin')?.trim() ?? '') === '')
    return [{ reason: 'cors_allowed_origin is not set' }]
  return [{ setting, value: listOf(value) }]
}

function listOf(value: string): string[] {
  const parts = value.split(',').map((part) => part.trim())
  return parts.filter((part) => part !== '')
}
