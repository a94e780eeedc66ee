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
  const close = (): void => {
    for (const watch of watches) watch.close()
  }
  try {
    const tokens = await startTokens(settings, log, watches)
    const tls = await startTls(settings, log, watches)
    return { tokens, tls, close }
  } catch (error) {
    close()
    throw error
  }
}

async function startTokens(
  { managementToken, tokens: listed, tokensFile }: TokenSettings,
  log: Log,
  watches: FileWatch[],
): Promise<Tokens | undefined> {
  const fixed: Token[] = []
  if (managementToken !== '') {
    const areas = new Set(['management'] as const)
    fixed.push({
      name: 'managementToken',
      sha256: hashOf(managementToken),
      areas,
      models: undefined,
    })
  }
  if (listed !== '' && tokensFile !== '')
    throw new ConfigError('tokens and tokensFile are both set. Use one of them.')
  if (listed !== '') return new Tokens([...fixed, ...(await firstTokens('tokens', listed))])
  if (tokensFile === '') return fixed.length > 0 ? new Tokens(fixed) : undefined

  const place = `tokensFile ${path.basename(tokensFile)}`
  const tokens = new Tokens(fixed)
  const read = async (): Promise<Token[]> => readTokens(await readFile(tokensFile, 'utf8'))
  const readAgain = async (): Promise<void> => {
    try {
      const changed = await read()
      tokens.replace([...fixed, ...changed])
      log.info({ tokens: changed.map(({ name }) => name) }, 'API tokens were read again')
    } catch (error) {
      const reason = messageOf(error)
      log.error({ file: tokensFile, reason }, 'API tokens cannot be read again; the old ones stay')
    }
  }
  watches.push(await FileWatch.start([tokensFile], readAgain))
  tokens.replace([...fixed, ...(await firstTokens(place, read))])
  return tokens
}

async function startTls(
  settings: TlsSettings,
  log: Log,
  watches: FileWatch[],
): Promise<ServerTls | undefined> {
  const { tlsCert, tlsKey, tlsClientCa } = settings
  if (tlsCert === '' && tlsKey === '' && tlsClientCa === '') return undefined
  if (tlsCert === '' || tlsKey === '') throw new ConfigError('TLS needs both tlsCert and tlsKey.')
  const read = async (): Promise<TlsFiles> => {
    const files = await readTlsFiles(settings)
    for (const warning of files.warnings) log.warn({ validTo: files.validTo }, warning)
    return files
  }
  let tls: ServerTls | undefined
  const readAgain = async (): Promise<void> => {
    try {
      const files = await read()
      tls?.replace(files)
      log.info({ validTo: files.validTo }, 'TLS certificates were read again')
    } catch (error) {
      const reason = messageOf(error)
      log.error({ reason }, 'TLS certificates cannot be read again; the old ones stay')
    }
  }
  watches.push(await FileWatch.start(tlsFileNames(settings), readAgain))
  tls = new ServerTls(await read())
  return tls
}

/** @throws ConfigError also for an empty list, with which the server would be open. */
async function firstTokens(
  place: string,
  from: string | (() => Promise<Token[]>),
): Promise<Token[]> {
  try {
    const tokens = await (typeof from === 'string' ? readTokens(from) : from())
    if (tokens.length === 0) throw new ConfigError('it has no token')
    return tokens
  } catch (cause) {
    throw new ConfigError(`${place} cannot be used: ${messageOf(cause)}.`, { cause })
  }
}
