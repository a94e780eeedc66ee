/** Decides whether a URL may be a model's source, and finds its path on this machine. */
import { access, realpath } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ServerError } from '../../errors.ts'
import { isMissing, realPathInside } from './safe-files.ts'
import { fileNamedWithoutEnding } from './store/listing.ts'

const MAX_URL_CHARACTERS = 4096
/**
 * Control characters, the backslash, line separators, and characters that change the writing
 * direction.
 */
const FORBIDDEN_IN_URL = /[\p{Cc}\\\u2028\u2029\u202a-\u202e\u2066-\u2069]/u

/** Follows the text about a path that is refused. */
const OUTSIDE = '. Start the server with --allow-local-paths to register paths outside the store.'
const NO_STORE = ' Start the server with --model-store, or upload the model.'

/** Allowed locations of models on this machine. */
export interface LocationOptions {
  readonly modelStore: string | undefined
  /** Whether a URL may be a path outside the store. */
  readonly allowLocalPaths: boolean
}

/** An allowed location. */
export interface Location {
  readonly path: string
  /** The store's real path, which must contain every file; `undefined` for other paths. */
  readonly root: string | undefined
}

/** Whether a URL names a model on another machine. */
export function isRemote(url: string): boolean {
  return /^(?:https?:|\/\/)/i.test(url)
}

/**
 * Returns the path of a URL on this machine.
 * @throws ServerError with the statuses and texts of MMS.
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
    if (!allowLocalPaths) {
      const hint = /^file:/i.test(url) ? OUTSIDE : ''
      throw forbidden(`Only models of the model store are allowed: ${withoutSecrets(url)}${hint}`)
    }
    return { path: await existingPath(pathOfFileUrl(url)), root: undefined }
  }
  if (url.split('/').includes('..')) {
    throw notFound(`Relative path is not allowed in url: ${url}`)
  }
  if (path.isAbsolute(url)) {
    if (!allowLocalPaths) throw notFound(`Model not found in model store: ${url}${OUTSIDE}`)
    return { path: await existingPath(path.resolve(url)), root: undefined }
  }
  if (!modelStore) throw notFound(`Model store has not been configured.${NO_STORE}`)
  return locateInStore(url, modelStore)
}

async function locateInStore(url: string, modelStore: string): Promise<Location> {
  try {
    const root = await realpath(modelStore)
    const named = path.resolve(root, url)
    if (path.dirname(named) !== root) await realPathInside(path.dirname(named), root)
    try {
      await realPathInside(named, root)
      return { path: named, root }
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    const location = await existingPath(named)
    await realPathInside(location, root)
    return { path: location, root }
  } catch (cause) {
    if (cause instanceof ServerError && cause.type === 'BadRequestException') throw cause
    throw notFound(`Model not found in model store: ${url}`, cause)
  }
}

/**
 * Returns `location`, or the only file there with that name and any model extension.
 * @throws ServerError `BadRequestException` if several files match.
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
    // Another scheme, another host, or an encoded slash.
  }
  throw badRequest(`Invalid model url: ${withoutSecrets(url)}`)
}

/** Removes the parts of a URL that may be secret: user, password, query and fragment. */
function withoutSecrets(url: string): string {
  return url.replace(/^([^/?#]*\/\/)[^/?#]*@/, '$1').replace(/[?#].*$/s, '')
}

function badRequest(message: string): ServerError {
  return new ServerError('BadRequestException', message)
}

function forbidden(message: string): ServerError {
  return new ServerError('BadRequestException', message, { statusCode: 403 })
}

/** The error for a model that does not exist. */
export function notFound(message: string, cause?: unknown): ServerError {
  return new ServerError('ModelNotFoundException', message, { cause })
}
