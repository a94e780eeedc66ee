/** Where models come from: the command line, the model store, archives. Nothing outside is ever read. */
import { readdir, realpath, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ServerError } from '../errors.ts'
import type { ModelSettings } from '../model-settings.ts'
import type { ArchiveLimits } from './archive.ts'
import {
  MODEL_NAME_PATTERN,
  checkModelName,
  checkModelVersion,
  isArchive,
  isModelFile,
  nameOfPath,
} from './model-name.ts'
import { unpackVersion } from './source-archive.ts'
import { checkTree, isMissing, realPathInside } from './source-files.ts'
import { findVersions } from './source-layout.ts'
import type { FoundVersion } from './source-layout.ts'

export { MODEL_NAME_PATTERN, checkModelName }

const MAX_URL_CHARACTERS = 4096
/** Control characters, the backslash, and characters that turn the direction of writing. */
const FORBIDDEN_IN_URL = /[\p{Cc}\\\u2028\u2029\u202a-\u202e\u2066-\u2069]/u

/** One version of a model, ready to be loaded by a worker. */
export interface PreparedModel {
  readonly name: string
  /** `1.0` when nothing says otherwise; the folder's name for numbered versions. */
  readonly version: string
  /** Absolute: the folder or bare `.onnx` file that the worker is given. */
  readonly modelPath: string
  /** What the operator or caller wrote. */
  readonly url: string
  /** `''` for the built-in handler. */
  readonly handler: string
  /** `node` for onnxd's own worker, else the manifest's. */
  readonly runtime: string
  /** Whether the model brings code of its own. */
  readonly hasCode: boolean
  /** `model.json` over `config.pbtxt`. */
  readonly settings: ModelSettings
  /** What was unpacked for this version; {@link discard} removes it. */
  readonly temporaryFolder: string | undefined
}

/** Where models may come from. */
export interface SourceOptions {
  readonly modelStore: string | undefined
  /** Private folder that archives are unpacked in; made when it is missing. */
  readonly temporaryRoot: string
  /** Whether a URL may be a path outside the store. */
  readonly allowLocalPaths: boolean
  readonly limits?: Partial<ArchiveLimits>
}

/** What is to be prepared, once it is known to be allowed. */
interface Place {
  readonly path: string
  readonly url: string
  /** The store's real path, which no file may lead out of; `undefined` for the operator's own paths. */
  readonly root: string | undefined
  readonly name?: string | undefined
  readonly version?: string | undefined
}

/**
 * Prepares every version at a MODEL argument, `path` or `name=path` (write `./a=b.onnx` for a path with
 * an equals sign). See {@link findVersions} for the layouts.
 * @throws ServerError `ModelNotFoundException`, `InvalidModelException` or `BadRequestException` (name).
 */
export function prepareFromArgument(
  argument: string,
  options: SourceOptions,
): Promise<PreparedModel[]> {
  const [, name, url = argument] = /^([^/=]+)=(.+)$/s.exec(argument) ?? []
  return prepare({ path: path.resolve(url), url, root: undefined, name }, options)
}

/**
 * Prepares what a `POST /models?url=…` names: a file or folder of the store, or any path when local
 * paths are allowed. `version` chooses among numbered versions and names any other.
 * @throws ServerError with the statuses and texts of MMS, section 5.2.
 */
export async function prepareFromUrl(
  url: string,
  options: SourceOptions & { name?: string | undefined; version?: string | undefined },
): Promise<PreparedModel[]> {
  const { name, version } = options
  return prepare({ ...(await locate(url, options)), url, name, version }, options)
}

/** Names of everything servable in a store, sorted: folders, networks and archives that are not hidden. */
export async function listStore(modelStore: string): Promise<string[]> {
  try {
    const names = (await readdir(modelStore)).filter((name) => !name.startsWith('.')).toSorted()
    const isServable = await Promise.all(
      names.map(async (name) => {
        const stats = await stat(path.join(modelStore, name)).catch(() => undefined)
        return stats?.isDirectory() === true || (stats?.isFile() === true && isModelFile(name))
      }),
    )
    return names.filter((_, index) => isServable[index])
  } catch (cause) {
    throw new ServerError('ModelNotFoundException', 'The model store cannot be read.', { cause })
  }
}

/** Removes what preparing a version made on disk. Does nothing the second time. */
export async function discard({ temporaryFolder }: PreparedModel): Promise<void> {
  if (temporaryFolder !== undefined) await rm(temporaryFolder, { recursive: true, force: true })
}

async function prepare(place: Place, options: SourceOptions): Promise<PreparedModel[]> {
  if (place.name !== undefined) checkModelName(place.name)
  if (place.version !== undefined) checkModelVersion(place.version)
  try {
    const stats = await stat(place.path)
    if (stats.isDirectory()) {
      if (place.root !== undefined) await checkTree(place.path, place.root)
    } else if (!stats.isFile()) {
      throw invalid(`The model is neither a file nor a folder: ${place.url}`)
    } else if (isArchive(place.path)) {
      return [await prepareArchive(place, options)]
    } else if (!isModelFile(place.path)) {
      throw invalid(`The model is no folder, .onnx, .mar, .model, .zip or .tar.gz: ${place.url}`)
    }
    const versions = chooseVersion(await findVersions(place.path, place.root), place)
    return versions.map((found) => toPrepared(place, found, undefined))
  } catch (error) {
    if (error instanceof ServerError) throw error
    if (isMissing(error)) throw notFound(`Model not found: ${place.url}`, error)
    // Texts of the file system hold paths of this machine; they go no further than the cause.
    throw invalid(`The model cannot be read: ${place.url}`, error)
  }
}

async function prepareArchive(place: Place, options: SourceOptions): Promise<PreparedModel> {
  const { found, temporaryFolder } = await unpackVersion(
    place.path,
    place.root,
    options.temporaryRoot,
    options.limits,
  )
  try {
    return toPrepared(place, found, temporaryFolder)
  } catch (error) {
    await rm(temporaryFolder, { recursive: true, force: true })
    throw error
  }
}

function chooseVersion(versions: FoundVersion[], { version, url }: Place): FoundVersion[] {
  if (version === undefined || versions.some(({ isNumbered }) => !isNumbered)) return versions
  const chosen = versions.filter((found) => found.version === version)
  if (chosen.length > 0) return chosen
  throw new ServerError(
    'ModelVersionNotFoundException',
    `Model version: ${version} does not exist for model: ${url}`,
  )
}

function toPrepared(
  place: Place,
  found: FoundVersion,
  temporaryFolder: string | undefined,
): PreparedModel {
  const { version, modelPath, handler, runtime, hasCode, settings } = found
  const name = place.name ?? found.manifestName ?? nameOfPath(place.path, place.root)
  checkModelName(name)
  return {
    name,
    version: found.isNumbered ? version : (place.version ?? version),
    modelPath,
    url: place.url,
    handler,
    runtime,
    hasCode,
    settings,
    temporaryFolder,
  }
}

/** Decides whether a URL may be used, and where it leads. Downloads will start from here. */
async function locate(
  url: string,
  { modelStore, allowLocalPaths }: SourceOptions,
): Promise<Pick<Place, 'path' | 'root'>> {
  if (url === '') throw badRequest('Parameter url is required.')
  if (url.length > MAX_URL_CHARACTERS || FORBIDDEN_IN_URL.test(url) || url.trim() !== url) {
    throw badRequest(`Invalid model url: ${JSON.stringify(url.slice(0, 200))}`)
  }
  if (/^(?:https?:|\/\/)/i.test(url)) {
    throw forbidden(`Remote URLs are not allowed: ${url}`)
  }
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(url)) {
    if (!allowLocalPaths) throw forbidden(`Only models of the model store are allowed: ${url}`)
    return { path: pathOfFileUrl(url), root: undefined }
  }
  if (url.split('/').includes('..')) {
    throw notFound(`Relative path is not allowed in url: ${url}`)
  }
  if (path.isAbsolute(url)) {
    if (!allowLocalPaths) throw notFound(`Model not found in model store: ${url}`)
    return { path: path.resolve(url), root: undefined }
  }
  if (!modelStore) throw notFound('Model store has not been configured.')
  return locateInStore(url, modelStore)
}

async function locateInStore(
  url: string,
  modelStore: string,
): Promise<Pick<Place, 'path' | 'root'>> {
  try {
    const root = await realpath(modelStore)
    const location = path.resolve(root, url)
    await realPathInside(location, root)
    return { path: location, root }
  } catch (cause) {
    throw notFound(`Model not found in model store: ${url}`, cause)
  }
}

function pathOfFileUrl(url: string): string {
  try {
    const location = fileURLToPath(url)
    if (!FORBIDDEN_IN_URL.test(location)) return location
  } catch {
    // Another scheme, another host, or a slash in disguise.
  }
  throw badRequest(`Invalid model url: ${url}`)
}

function badRequest(message: string): ServerError {
  return new ServerError('BadRequestException', message)
}

function forbidden(message: string): ServerError {
  return new ServerError('BadRequestException', message, { statusCode: 403 })
}

function notFound(message: string, cause?: unknown): ServerError {
  return new ServerError('ModelNotFoundException', message, { cause })
}

function invalid(message: string, cause?: unknown): ServerError {
  return new ServerError('InvalidModelException', message, { cause })
}
