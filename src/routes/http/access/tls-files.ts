/** Reads certificates and keys, and says what is wrong with them. */
import { X509Certificate, createPrivateKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Config } from '../../../config/config.ts'
import { ConfigError, messageOf } from '../../../errors.ts'

export type TlsSettings = Pick<Config, 'tlsCert' | 'tlsKey' | 'tlsClientCa'>

/** Contents of the files, and what an operator should know about them. */
export interface TlsFiles {
  readonly cert: string
  readonly key: string
  /** Certificates that sign those of clients. Absent if clients need none. */
  readonly ca: string[] | undefined
  readonly validTo: string
  readonly warnings: readonly string[]
}

const CERTIFICATES = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs
const DAY_MS = 86_400_000
/** A shorter rest is worth a warning. */
const SOON_DAYS = 14

/** The files of the settings. */
export function tlsFileNames({ tlsCert, tlsKey, tlsClientCa }: TlsSettings): string[] {
  return [tlsCert, tlsKey, tlsClientCa].filter((file) => file !== '')
}

/** @throws ConfigError that names the setting and the reason. */
export async function readTlsFiles(
  { tlsCert, tlsKey, tlsClientCa }: TlsSettings,
  now = Date.now(),
): Promise<TlsFiles> {
  const [cert, key, clientCa] = await Promise.all([
    read('tlsCert', tlsCert),
    read('tlsKey', tlsKey),
    tlsClientCa === '' ? undefined : read('tlsClientCa', tlsClientCa),
  ])
  const [own] = certificatesIn('tlsCert', cert)
  const privateKey = privateKeyIn(key)
  if (!own.checkPrivateKey(privateKey))
    throw new ConfigError('tlsKey is not the key of the certificate in tlsCert.')
  const ca = clientCa?.match(CERTIFICATES) ?? undefined
  const warnings = ageWarnings('the TLS certificate', own, now)
  if (clientCa !== undefined) {
    for (const one of certificatesIn('tlsClientCa', clientCa))
      warnings.push(...ageWarnings('a certificate of tlsClientCa', one, now))
  }
  try {
    createSecureContext({ cert, key, ca })
  } catch (cause) {
    throw new ConfigError(`tlsCert and tlsKey cannot be used: ${messageOf(cause)}.`, { cause })
  }
  return { cert, key, ca, validTo: new Date(own.validTo).toISOString(), warnings }
}

async function read(setting: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new ConfigError(`${setting} cannot be read: ${messageOf(cause)}.`, { cause })
  }
}

/** @throws ConfigError if there is none, or one is damaged. */
function certificatesIn(setting: string, text: string): [X509Certificate, ...X509Certificate[]] {
  const [first, ...others] = text.match(CERTIFICATES) ?? []
  if (first === undefined)
    throw new ConfigError(`${setting} has no certificate in PEM form (BEGIN CERTIFICATE).`)
  try {
    return [new X509Certificate(first), ...others.map((one) => new X509Certificate(one))]
  } catch (cause) {
    const reason = messageOf(cause)
    throw new ConfigError(`${setting} has a damaged certificate: ${reason}.`, { cause })
  }
}

/** Errors of OpenSSL do not contain parts of the key. */
function privateKeyIn(text: string): KeyObject {
  if (/ENCRYPTED/.test(text))
    throw new ConfigError('tlsKey is encrypted. onnxd has no passphrase; decrypt the key.')
  try {
    return createPrivateKey(text)
  } catch (cause) {
    throw new ConfigError('tlsKey has no private key in PEM form (BEGIN PRIVATE KEY).', { cause })
  }
}

function ageWarnings(what: string, { validFrom, validTo }: X509Certificate, now: number): string[] {
  const days = Math.floor((Date.parse(validTo) - now) / DAY_MS)
  if (Date.parse(validTo) < now) return [`${what} has expired`]
  if (Date.parse(validFrom) > now) return [`${what} is not valid yet`]
  return days < SOON_DAYS ? [`${what} expires in ${days} days`] : []
}
