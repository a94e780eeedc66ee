/** Prepares models from the command line, the model store and archives, and reads nothing else. */
import { rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import type { ArchiveLimits } from '../archives/extract.ts'
import { LateArchive } from './late-archive.ts'
import { findVersions } from './layout.ts'
import type { FoundVersion } from './layout.ts'
import { existingPath, locate, notFound } from './location.ts'
import type { LocationOptions } from './location.ts'
import {
  MODEL_NAME_PATTERN,
  checkModelName,
  checkModelVersion,
  isArchive,
  isModelFile,
} from './model-name.ts'
import { isHandler, toPrepared } from './prepared-model.ts'
import type { Delivery, Place, PreparedModel, Wishes } from './prepared-model.ts'
import { RegisteredFiles } from './registered-files.ts'
import { ORT_FILES, checkRuntimeName } from './runtime.ts'
import { checkTree, isMissing } from './safe-files.ts'
import { outlineVersion, unpackInto, unpackVersion } from './unpack.ts'

export { MODEL_NAME_PATTERN, checkModelName, checkRuntimeName, isHandler }
export type { Delivery, Place, PreparedModel }

/** Allowed sources of models. */
export interface SourceOptions extends LocationOptions {
  /** Private folder for unpacked archives; created if it is missing. */
  readonly temporaryRoot: string
  readonly limits?: Partial<ArchiveLimits>
  /** Aborts the unpacking of an archive. */
  readonly signal?: AbortSignal | undefined
  /**
   * Whether an archive of the operator is unpacked at the first load. It is unpacked at once if it
   * has no directory.
   */
  readonly unpacksLater?: boolean
}

/**
 * Prepares every version at a MODEL argument, `path` or `name=path` (write `./a=b.onnx` for a path
 * with an equals sign). See {@link findVersions} for the layouts.
 * @throws ServerError `ModelNotFoundException`, `InvalidModelException` or `BadRequestException`
 * (name).
 */
export async function prepareFromArgument(
  argument: string,
  options: SourceOptions & Pick<Wishes, 'handler'>,
): Promise<PreparedModel[]> {
  const [, name, url = argument] = /^([^/=]+)=(.+)$/s.exec(argument) ?? []
  const location = await existingPath(path.resolve(url))
  const { handler } = options
  return prepare({ path: location, url, root: undefined, name, handler }, options)
}

/**
 * Prepares the model at a URL: an entry of the store, or any path if local paths are allowed.
 * @throws ServerError with the statuses and texts of MMS.
 */
export async function prepareFromUrl(
  url: string,
  options: SourceOptions & Wishes,
): Promise<PreparedModel[]> {
  const { name, version, handler, runtime } = options
  const wishes = { name, version, handler, runtime }
  return prepare({ ...(await locate(url, options)), url, ...wishes }, options)
}

/**
 * Prepares an artifact. After a failure its folder is removed, unless `keepsDelivery` is set.
 * @param url The URL or name that the caller wrote; shown as the model's URL.
 * @throws ServerError as {@link prepareFromUrl}.
 */
export async function prepareDelivery(
  delivery: Delivery,
  url: string,
  options: SourceOptions & Wishes,
  keepsDelivery = false,
): Promise<PreparedModel[]> {
  const { name, version, handler, runtime } = options
  try {
    const wishes = { name, version, handler, runtime }
    const place = { path: delivery.path, root: undefined, url, ...wishes }
    const versions = await prepare({ ...place, namedAfter: delivery.fileName }, options)
    return versions.map((prepared) => ({ ...prepared, delivery }))
  } catch (error) {
    if (!keepsDelivery) await rm(delivery.folder, { recursive: true, force: true })
    throw error
  }
}

/**
 * Prepares one version again, as another process of this server has prepared it. Nothing is checked
 * that was checked then. A file from the network stays the property of that process.
 * @throws ServerError as {@link prepareFromUrl}.
 */
export function prepareAgain(place: Place, options: SourceOptions): Promise<PreparedModel[]> {
  return prepare(place, options)
}

/**
 * Removes the files that preparing a version created. A second call does nothing.
 * @param keepsDelivery Keep the artifact from the network, because the next start serves it again.
 */
export async function discard(
  { temporaryFolder, delivery, archive }: PreparedModel,
  keepsDelivery = false,
): Promise<void> {
  await archive?.close()
  if (temporaryFolder !== undefined) await rm(temporaryFolder, { recursive: true, force: true })
  if (delivery !== undefined && !keepsDelivery) {
    await rm(delivery.folder, { recursive: true, force: true })
  }
}

async function prepare(place: Place, options: SourceOptions): Promise<PreparedModel[]> {
  if (place.name !== undefined) checkModelName(place.name)
  if (place.version !== undefined) checkModelVersion(place.version)
  if (place.runtime !== undefined) checkRuntimeName(place.runtime)
  try {
    const stats = await stat(place.path)
    if (stats.isDirectory()) {
      if (place.root !== undefined) await checkTree(place.path, place.root)
    } else if (!stats.isFile()) {
      throw invalid(`The model is neither a file nor a folder: ${place.url}`)
    } else if (isArchive(place.path)) {
      return [await prepareArchive(place, options)]
    } else if (!isModelFile(place.path)) {
      if (path.extname(place.path).toLowerCase() === '.ort')
        throw invalid(`${ORT_FILES}: ${place.url}`)
      throw invalid(`The model is not a folder, .onnx, .mar, .model, .zip or .tar.gz: ${place.url}`)
    }
    const found = await findVersions(place.path, stats.isDirectory(), place.root, place)
    const versions = chooseVersion(found, place)
    return await Promise.all(
      versions.map(async (version) => {
        const prepared = toPrepared(place, version, undefined)
        if (place.namedAfter !== undefined) return prepared
        return { ...prepared, files: await RegisteredFiles.ofModel(version, place.root) }
      }),
    )
  } catch (error) {
    if (error instanceof ServerError) throw error
    if (isMissing(error)) throw notFound(`Model not found: ${place.url}`, error)
    // File system errors contain paths of this machine, so their texts stay in the cause.
    throw invalid(`The model cannot be read: ${place.url}`, error)
  }
}

async function prepareArchive(place: Place, options: SourceOptions): Promise<PreparedModel> {
  // Recorded before the archive is read, so that a write during reading counts as a change.
  const files =
    place.namedAfter === undefined ? await RegisteredFiles.ofFile(place.path) : undefined
  const { path: file, root } = place
  if (options.unpacksLater === true && files !== undefined) {
    const outlined = await outlineVersion(file, root, { ...options, wished: place })
    if (outlined !== undefined) {
      const { found, temporaryFolder, bytes } = outlined
      const unpack = (signal: AbortSignal): Promise<void> =>
        unpackInto(temporaryFolder, file, root, { ...options, signal })
      const archive = new LateArchive({ files, bytes, unpack })
      return { ...toPrepared(place, found, temporaryFolder), files, archive }
    }
  }
  const { found, temporaryFolder } = await unpackVersion(file, root, { ...options, wished: place })
  try {
    const prepared = toPrepared(place, found, temporaryFolder)
    return files === undefined ? prepared : { ...prepared, files }
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

function invalid(message: string, cause?: unknown): ServerError {
  return new ServerError('InvalidModelException', message, { cause })
}
