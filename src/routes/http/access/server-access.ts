/** What a server needs to know who may send requests. It is read from files, again and again. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../../../config/config.ts'
import { ConfigError, messageOf } from '../../../errors.ts'
import { FileWatch } from './file-watch.ts'
import { readTlsFiles, tlsFileNames } from './tls-files.ts'
import type { TlsFiles, TlsSettings } from './tls-files.ts'
import { ServerTls } from './tls.ts'
import { hashOf, readTokens } from './token-list.ts'
import type { Token } from './token-list.ts'
import { Tokens } from './tokens.ts'

/** The access to one server. */
export interface ServerAccess {
  /** Absent if no setting has a token. */
  readonly tokens: Tokens | undefined
  /** Absent if the listeners serve plain HTTP. */
  readonly tls: ServerTls | undefined
  /** Stops watching files. */
  close(): void
}

type TokenSettings = Pick<Config, 'managementToken' | 'tokens' | 'tokensFile'>
type Log = Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>

/** @throws ConfigError for a setting or file that cannot be used. */
export async function startAccess(
  settings: TokenSettings & TlsSettings,
  log: Log,
): Promise<ServerAccess> {
  const watches: FileWatch[] = []
  const tokens = await startTokens(settings, log, watches)
  const tls = await startTls(settings, log, watches)
  return {
    tokens,
    tls,
    close: () => {
      for (const watch of watches) watch.close()
    },
  }
}

async function startTokens(
  { managementToken, tokens: listed, tokensFile }: TokenSettings,
  log: Log,
  watches: FileWatch[],
): Promise<Tokens | undefined> {
  const fixed = managementToken === '' ? [] : [managementTokenOf(managementToken)]
  if (listed !== '' && tokensFile !== '')
    throw new ConfigError('tokens and tokensFile are both set. Use one of them.')
  if (listed !== '')
    return new Tokens([...fixed, ...(await firstTokens('tokens', () => readTokens(listed)))])
  if (tokensFile === '') return fixed.length > 0 ? new Tokens(fixed) : undefined

  const watch = await FileWatch.of([tokensFile])
  const read = async (): Promise<Token[]> => readTokens(await readFile(tokensFile, 'utf8'))
  const place = `tokensFile ${path.basename(tokensFile)}`
  const tokens = new Tokens([...fixed, ...(await firstTokens(place, read))])
  watch.start(async () => {
    try {
      const changed = await read()
      tokens.replace([...fixed, ...changed])
      log.info({ tokens: changed.map(({ name }) => name) }, 'API tokens were read again')
    } catch (error) {
      const reason = messageOf(error)
      log.error({ file: tokensFile, reason }, 'API tokens cannot be read again; the old ones stay')
    }
  })
  watches.push(watch)
  return tokens
}

function managementTokenOf(value: string): Token {
  const areas = new Set(['management'] as const)
  return { name: 'managementToken', sha256: hashOf(value), areas, models: undefined }
}

/** @throws ConfigError also for an empty list, with which the server would be open. */
async function firstTokens(place: string, read: () => Promise<Token[]>): Promise<Token[]> {
  try {
    const tokens = await read()
    if (tokens.length === 0) throw new ConfigError('it has no token')
    return tokens
  } catch (cause) {
    throw new ConfigError(`${place} cannot be used: ${messageOf(cause)}.`, { cause })
  }
}

async function startTls(
  settings: TlsSettings,
  log: Log,
  watches: FileWatch[],
): Promise<ServerTls | undefined> {
  const { tlsCert, tlsKey, tlsClientCa } = settings
  if (tlsCert === '' && tlsKey === '' && tlsClientCa === '') return undefined
  if (tlsCert === '' || tlsKey === '') throw new ConfigError('TLS needs both tlsCert and tlsKey.')
  const watch = await FileWatch.of(tlsFileNames(settings))
  const read = async (): Promise<TlsFiles> => {
    const files = await readTlsFiles(settings)
    for (const warning of files.warnings) log.warn({ validTo: files.validTo }, warning)
    return files
  }
  const tls = new ServerTls(await read())
  watch.start(async () => {
    try {
      const files = await read()
      tls.replace(files)
      log.info({ validTo: files.validTo }, 'TLS certificates were read again')
    } catch (error) {
      const reason = messageOf(error)
      log.error({ reason }, 'TLS certificates cannot be read again; the old ones stay')
    }
  })
  watches.push(watch)
  return tls
}
