/** Decides whether a URL may be used as a model's source, and where on this machine it leads. */
import { access, realpath } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ServerError } from '../../errors.ts'
import { realPathInside } from './safe-files.ts'
import { fileNamedWithoutEnding } from './store-listing.ts'

const MAX_URL_CHARACTERS = 4096
/** Control characters, the backslash, and characters that turn the direction of writing. */
const FORBIDDEN_IN_URL = /[\p{Cc}\\\u2028\u2029\u202a-\u202e\u2066-\u2069]/u

/** Where models of this machine may be. */
export interface LocationOptions {
  readonly modelStore: string | undefined
  /** Whether a URL may be a path outside the store. */
  readonly allowLocalPaths: boolean
}

/** A place that is allowed. */
export interface Location {
  readonly path: string
  /** The store's real path, which no file may lead out of; `undefined` for the operator's own paths. */
  readonly root: string | undefined
}

/** Whether a URL names a model on another machine. */
export function isRemote(url: string): boolean {
  return /^(?:https?:|\/\/)/i.test(url)
}

/**
 * Where a URL of this machine leads.
 * @throws ServerError with the statuses and texts of MMS, section 5.2.
 */
export async function locate(
  url: string,
  { modelStore, allowLocalPaths }: LocationOptions,
): Promise<Location> {
  if (url === '') throw badRequest('Parameter url is required.')
  if (url.length > MAX_URL_CHARACTERS || FORBIDDEN_IN_URL.test(url) || url.trim() !== url) {
    throw badRequest(`Invalid model url: ${JSON.stringify(url.slice(0, 200))}`)
  }
  if (isRemote(url)) {
    throw forbidden(`Remote URLs are not allowed: ${withoutSecrets(url)}`)
  }
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(url)) {
    if (!allowLocalPaths)
      throw forbidden(`Only models of the model store are allowed: ${withoutSecrets(url)}`)
    return { path: await existingPath(pathOfFileUrl(url)), root: undefined }
  }
  if (url.split('/').includes('..')) {
    throw notFound(`Relative path is not allowed in url: ${url}`)
  }
  if (path.isAbsolute(url)) {
    if (!allowLocalPaths) throw notFound(`Model not found in model store: ${url}`)
    return { path: await existingPath(path.resolve(url)), root: undefined }
  }
  if (!modelStore) throw notFound('Model store has not been configured.')
  return locateInStore(url, modelStore)
}

async function locateInStore(url: string, modelStore: string): Promise<Location> {
  try {
    const root = await realpath(modelStore)
    const named = path.resolve(root, url)
    if (path.dirname(named) !== root) await realPathInside(path.dirname(named), root)
    const location = await existingPath(named)
    await realPathInside(location, root)
    return { path: location, root }
  } catch (cause) {
    if (cause instanceof ServerError && cause.type === 'BadRequestException') throw cause
    throw notFound(`Model not found in model store: ${url}`, cause)
  }
}

/**
 * `location`, or the one file there that it names without its ending.
 * @throws ServerError `BadRequestException` when there are several.
 */
export async function existingPath(location: string): Promise<string> {
  const exists = await access(location).then(
    () => true,
    () => false,
  )
  return exists ? location : ((await fileNamedWithoutEnding(location)) ?? location)
}

function pathOfFileUrl(url: string): string {
  try {
    const location = fileURLToPath(url)
    if (!FORBIDDEN_IN_URL.test(location)) return location
  } catch {
    // Another scheme, another host, or a slash in disguise.
  }
  throw badRequest(`Invalid model url: ${withoutSecrets(url)}`)
}

/** A URL for messages: its user, password, query and fragment may be secret. */
function withoutSecrets(url: string): string {
  return url.replace(/^([^/?#]*\/\/)[^/?#]*@/, '$1').replace(/[?#].*$/s, '')
}

function badRequest(message: string): ServerError {
  return new ServerError('BadRequestException', message)
}

function forbidden(message: string): ServerError {
  return new ServerError('BadRequestException', message, { statusCode: 403 })
}

/** What a caller is told of a model that is not there. */
export function notFound(message: string, cause?: unknown): ServerError {
  return new ServerError('ModelNotFoundException', message, { cause })
}
