/** Where models come from: the command line, the model store, archives. Nothing outside is ever read. */
import { rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import type { ModelSettings } from '../../model-folder/settings.ts'
import type { ArchiveLimits } from '../archives/extract.ts'
import type { ConfigKey } from './config-pbtxt/config-report.ts'
import type { Reshapes } from './config-pbtxt/tensor-reshapes.ts'
import { findVersions } from './layout.ts'
import type { FoundVersion, SettingsFrom, TritonConfig } from './layout.ts'
import { existingPath, locate, notFound } from './location.ts'
import type { Location, LocationOptions } from './location.ts'
import {
  MODEL_NAME_PATTERN,
  checkModelName,
  checkModelVersion,
  isArchive,
  isModelFile,
  nameOfFile,
  nameOfPath,
} from './model-name.ts'
import { RegisteredFiles } from './registered-files.ts'
import { ORT_FILES, checkRuntimeName } from './runtime.ts'
import type { ModelRuntime, WishedRuntime } from './runtime.ts'
import { checkTree, isMissing } from './safe-files.ts'
import { unpackVersion } from './unpack.ts'

export { MODEL_NAME_PATTERN, checkModelName }

/** One version of a model, ready to be loaded by a worker. */
export interface PreparedModel extends ModelRuntime {
  readonly name: string
  /** `1.0` when nothing says otherwise; the folder's name for numbered versions. */
  readonly version: string
  /** Absolute: the folder or bare `.onnx` file that the worker is given. */
  readonly modelPath: string
  /** What the operator or caller wrote. */
  readonly url: string
  /** `model.json` over `config.pbtxt`. */
  readonly settings: ModelSettings
  /** The file that each of the settings is in. */
  readonly settingsFrom: SettingsFrom
  /** Tensors that `config.pbtxt` shows in another shape. */
  readonly reshapes: Reshapes
  /** The `config.pbtxt` beside the model, and what became of it. */
  readonly triton?: TritonConfig
  /** What became of the configuration that a load request carried. */
  readonly loadReport?: readonly ConfigKey[]
  /** What the operator's files were when the version was prepared; absent for a file that came over the network. */
  readonly files?: RegisteredFiles
  /** What was unpacked for this version; {@link discard} removes it. */
  readonly temporaryFolder: string | undefined
  /** The file as it came over the network; {@link discard} removes it as well. */
  readonly delivery?: Delivery
}

/** Where models may come from. */
export interface SourceOptions extends LocationOptions {
  /** Private folder that archives are unpacked in; made when it is missing. */
  readonly temporaryRoot: string
  readonly limits?: Partial<ArchiveLimits>
  /** Ends the unpacking of an archive. */
  readonly signal?: AbortSignal | undefined
}

/** A model file that came over the network, alone in a private folder that goes with it. */
export interface Delivery {
  readonly folder: string
  /** The file, under a random name with the extension of its format. */
  readonly path: string
  /** What the sender called it, made harmless; the model's name where nothing else says one. */
  readonly fileName: string
  readonly sha256: string | undefined
}

/** What is to be prepared, once it is known to be allowed. */
interface Place extends Location, Wishes {
  readonly url: string
  /** What makes the name when neither the caller nor the model says one; `path` when absent. */
  readonly namedAfter?: string
}

/** What a caller says of a model; the rest is as its files have it. */
export interface Wishes extends WishedRuntime {
  readonly name?: string | undefined
  /** Chooses among numbered versions and names any other. */
  readonly version?: string | undefined
}

/**
 * Prepares every version at a MODEL argument, `path` or `name=path` (write `./a=b.onnx` for a path with
 * an equals sign). See {@link findVersions} for the layouts.
 * @throws ServerError `ModelNotFoundException`, `InvalidModelException` or `BadRequestException` (name).
 */
export async function prepareFromArgument(
  argument: string,
  options: SourceOptions,
): Promise<PreparedModel[]> {
  const [, name, url = argument] = /^([^/=]+)=(.+)$/s.exec(argument) ?? []
  const location = await existingPath(path.resolve(url))
  return prepare({ path: location, url, root: undefined, name }, options)
}

/**
 * Prepares what a `POST /models?url=…` names: a file or folder of the store, or any path when local
 * paths are allowed.
 * @throws ServerError with the statuses and texts of MMS, section 5.2.
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
 * Prepares a file that came over the network. On failure its folder is removed, unless it is to be kept.
 * @param url What the caller wrote, shown as the model's URL.
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
 * Removes what preparing a version made on disk. Does nothing the second time.
 * @param keepsDelivery The file that came over the network stays: the next start serves it again.
 */
export async function discard(
  { temporaryFolder, delivery }: PreparedModel,
  keepsDelivery = false,
): Promise<void> {
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
      throw invalid(`The model is no folder, .onnx, .mar, .model, .zip or .tar.gz: ${place.url}`)
    }
    const versions = chooseVersion(await findVersions(place.path, place.root, place), place)
    return await Promise.all(
      versions.map(async (found) => {
        const prepared = toPrepared(place, found, undefined)
        if (place.namedAfter !== undefined) return prepared
        const labels = found.settings.labels ?? ''
        const files = await RegisteredFiles.ofModel(found.modelPath, labels, place.root)
        return { ...prepared, files }
      }),
    )
  } catch (error) {
    if (error instanceof ServerError) throw error
    if (isMissing(error)) throw notFound(`Model not found: ${place.url}`, error)
    // Texts of the file system hold paths of this machine; they go no further than the cause.
    throw invalid(`The model cannot be read: ${place.url}`, error)
  }
}

async function prepareArchive(place: Place, options: SourceOptions): Promise<PreparedModel> {
  // Before it is read: what is written to it meanwhile is seen as a change.
  const files =
    place.namedAfter === undefined ? await RegisteredFiles.ofFile(place.path) : undefined
  const { found, temporaryFolder } = await unpackVersion(place.path, place.root, {
    ...options,
    wished: place,
  })
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

function toPrepared(
  place: Place,
  found: FoundVersion,
  temporaryFolder: string | undefined,
): PreparedModel {
  const { version, isNumbered, manifestName, ...model } = found
  const { namedAfter } = place
  const own =
    namedAfter === undefined
      ? () => nameOfPath(place.path, place.root)
      : () => nameOfFile(namedAfter)
  const name = place.name ?? manifestName ?? own()
  checkModelName(name)
  checkRuntime(place.runtime, model.runtime)
  return {
    ...model,
    name,
    version: isNumbered ? version : (place.version ?? version),
    url: place.url,
    temporaryFolder,
  }
}

/** Python's versions are told apart by those who start it, not by those who ask for it. */
function checkRuntime(wished: string | undefined, own: string): void {
  if (wished === undefined || wished === own) return
  if (wished.startsWith('python') && own.startsWith('python')) return
  const text = `Invalid RuntimeType value: ${wished}. The runtime of this model is ${own}.`
  throw new ServerError('BadRequestException', text)
}

function invalid(message: string, cause?: unknown): ServerError {
  return new ServerError('InvalidModelException', message, { cause })
}
