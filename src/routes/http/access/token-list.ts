/**
 * Reads the API tokens of a file or an environment variable. Error texts never contain a value,
 * because it may be a token.
 */
import { createHash } from 'node:crypto'
import { ConfigError } from '../../../errors.ts'

/** The two groups of routes. */
export const AREAS = ['inference', 'management'] as const
export type Area = (typeof AREAS)[number]

/** An API token. Only its hash is kept. */
export interface Token {
  /** For the log. */
  readonly name: string
  readonly sha256: Buffer
  readonly areas: ReadonlySet<Area>
  /** Names of the models that it may use, in which `*` stands for any characters. */
  readonly models: readonly string[] | undefined
}

const KEYS = new Set(['name', 'token', 'sha256', 'scope', 'models'])
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/
/** Characters that a header can carry in a token: visible ASCII without spaces. */
const TOKEN = /^[\x21-\x7e]+$/
/** A longer header would be rejected with 431. */
const MAX_TOKEN = 8192
const SHA256 = /^[0-9a-f]{64}$/i
const MODEL = /^[A-Za-z0-9._*-]{1,128}$/

/**
 * Reads a list of tokens, or an object with a list `tokens`. The text is JSON or YAML.
 * @throws ConfigError that says which entry is wrong.
 */
export async function readTokens(text: string): Promise<Token[]> {
  const content = await parse(text)
  const list = isObject(content) && 'tokens' in content ? content.tokens : content
  if (!Array.isArray(list)) throw new ConfigError('it must be a list of tokens')
  const tokens = list.map((entry: unknown, index) => tokenOf(entry, index + 1))
  refuseTwice(tokens)
  return tokens
}

/** The hash under which a token is kept and compared. */
export function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** The parser's own text would show the line of the mistake, and with it a token. */
async function parse(text: string): Promise<unknown> {
  const { parseDocument } = await import('yaml')
  const document = parseDocument(text, { logLevel: 'silent' })
  const [error] = document.errors
  if (error === undefined) return document.toJS()
  const line = error.linePos?.[0].line
  const place = line === undefined ? '' : ` in line ${line}`
  throw new ConfigError(`it is not valid JSON or YAML${place} (${error.code})`)
}

function tokenOf(entry: unknown, place: number): Token {
  if (!isObject(entry)) throw new ConfigError(`token ${place} must be an object`)
  const { name } = entry
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new ConfigError(
      `token ${place} needs a name: 1 to 64 letters, digits, dots, hyphens, underscores or @`,
    )
  }
  const fail = (problem: string): ConfigError => new ConfigError(`token ${name}: ${problem}`)
  const unknown = Object.keys(entry).find((key) => !KEYS.has(key))
  if (unknown !== undefined) throw fail(`unknown key ${JSON.stringify(unknown.slice(0, 50))}`)
  const areas = areasOf(entry.scope, fail)
  const models = modelsOf(entry.models, fail)
  if (models !== undefined && areas.has('management'))
    throw fail('models limits tokens for inference only; leave it out, or use two tokens')
  return { name, sha256: digestOf(entry, fail), areas, models }
}

type Fail = (problem: string) => ConfigError

function digestOf({ token, sha256 }: Record<string, unknown>, fail: Fail): Buffer {
  if ((token === undefined) === (sha256 === undefined))
    throw fail('it needs either token or sha256')
  if (sha256 !== undefined) {
    if (typeof sha256 === 'string' && SHA256.test(sha256)) return Buffer.from(sha256, 'hex')
    throw fail('sha256 must be a text of 64 hexadecimal digits, in quotes')
  }
  if (typeof token === 'string' && TOKEN.test(token) && token.length <= MAX_TOKEN)
    return hashOf(token)
  throw fail('token must be a text of visible ASCII characters without spaces, in quotes')
}

function areasOf(scope: unknown, fail: Fail): ReadonlySet<Area> {
  if (scope === undefined) return new Set(['inference'])
  const areas = [scope].flat()
  const known = AREAS.filter((area) => areas.includes(area))
  if (areas.length > 0 && areas.every((area) => known.some((one) => one === area)))
    return new Set(known)
  throw fail(`scope must be ${AREAS.join(' or ')}, or a list of both`)
}

function modelsOf(models: unknown, fail: Fail): readonly string[] | undefined {
  if (models === undefined) return undefined
  const list: readonly unknown[] = Array.isArray(models) ? models : []
  const names = list.filter((one) => typeof one === 'string').filter((one) => MODEL.test(one))
  if (names.length > 0 && names.length === list.length) return names
  throw fail('models must be a list of names of models, without versions; * fits any characters')
}

function refuseTwice(tokens: readonly Token[]): void {
  const names = new Set<string>()
  const owners = new Map<string, string>()
  for (const { name, sha256 } of tokens) {
    if (names.has(name)) throw new ConfigError(`two tokens have the name ${name}`)
    names.add(name)
    const digest = sha256.toString('hex')
    const owner = owners.get(digest)
    if (owner !== undefined) throw new ConfigError(`${owner} and ${name} are the same token`)
    owners.set(digest, name)
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
