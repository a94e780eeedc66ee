/**
 * Finds the versions in a folder or `.onnx` file: one model, numbered versions of a model, or an
 * unpacked archive.
 */
import { access, constants, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import { pathInside, readModelFiles } from '../../model-folder/files.ts'
import type { ModelFiles } from '../../model-folder/files.ts'
import {
  MANIFEST_FILE,
  MODEL_SETTINGS_FILE,
  isNetworkFile,
  isOwnNetwork,
} from '../../model-folder/paths.ts'
import { readTextInside } from '../../model-folder/read-inside.ts'
import type { ModelSettings } from '../../model-folder/settings.ts'
import type { ConfigKey } from './config-pbtxt/config-report.ts'
import { reportOfFile } from './config-pbtxt/file-report.ts'
import {
  MODEL_CONFIG_FILE,
  checkBackend,
  parseModelConfig,
  settingsOf,
} from './config-pbtxt/model-config.ts'
import type { ModelConfig } from './config-pbtxt/model-config.ts'
import { NO_RESHAPES, reshapesOf } from './config-pbtxt/tensor-reshapes.ts'
import type { Reshapes } from './config-pbtxt/tensor-reshapes.ts'
import { checkModelVersion, isNumber, isNumberedFolder } from './model-name.ts'
import { runtimeOf } from './runtime.ts'
import type { ModelRuntime, WishedRuntime } from './runtime.ts'
import { FolderNames, isRegularFile, sizeOfFile } from './safe-files.ts'

const MAX_CONFIG_BYTES = 256 * 1024
const DEFAULT_VERSION = '1.0'

/** The file that each setting of a model is from. */
export type SettingsFrom = Readonly<
  Partial<Record<keyof ModelSettings, typeof MODEL_SETTINGS_FILE | typeof MODEL_CONFIG_FILE>>
>

/** One version of a model on disk. */
export interface FoundVersion extends ModelRuntime {
  /** `modelName` of the manifest. */
  readonly manifestName: string | undefined
  readonly version: string
  /** Whether the version is the name of its folder. */
  readonly isNumbered: boolean
  readonly modelPath: string
  readonly settings: ModelSettings
  readonly settingsFrom: SettingsFrom
  readonly reshapes: Reshapes
  readonly triton?: TritonConfig
  /** The files that were chosen without a handler of the caller. */
  readonly chosen: ModelFiles | undefined
}

/** A `config.pbtxt`, and how each of its keys was used. */
export interface TritonConfig {
  readonly config: ModelConfig
  readonly report: readonly ConfigKey[]
}

/**
 * Finds the versions at `location`, in ascending order. Numbered folders with a model are preferred
 * to a `model.onnx` beside them, as in Triton and TensorFlow Serving. All are used unless
 * `config.pbtxt` has a `version_policy`. A folder with a manifest is one version.
 * @param root Folder that must contain every file of the model.
 * @param wished The handler and runtime that the caller named.
 * @throws ServerError `InvalidModelException`.
 */
export async function findVersions(
  location: string,
  isFolder: boolean,
  root: string | undefined,
  wished: WishedRuntime = {},
): Promise<FoundVersion[]> {
  const names = new FolderNames()
  const listed = isFolder ? await names.read(location) : []
  const holdingModels = await findNumbers(listed, location, wished)
  // An ensemble has no file in the folder of its version.
  const mayBeEnsemble = holdingModels.length === 0 && listed.some(isNumber)
  const ensemble = mayBeEnsemble && (await readConfig(location, root, names))?.ensemble
  const numbers = ensemble ? await findFolders(listed.filter(isNumber), location) : holdingModels
  if (numbers.length === 0) {
    const isOwnFolder = isFolder || isOwnNetwork(path.basename(location))
    const folder = isFolder ? location : path.dirname(location)
    const isNumbered = isOwnFolder && isNumberedFolder(folder, root)
    return [await readVersion({ location, isFile: !isFolder, isNumbered }, root, wished, names)]
  }
  const config = await readConfig(location, root, names)
  const chosen = applyPolicy(numbers, config)
  if (chosen.length === 0) {
    throw invalid(`None of the versions ${numbers.join(', ')} matches the version_policy.`)
  }
  return Promise.all(
    chosen.map(async (number) =>
      readVersion(
        { location: path.join(location, number), isFile: false, isNumbered: true },
        root,
        wished,
        names,
      ),
    ),
  )
}

async function findNumbers(
  names: readonly string[],
  folder: string,
  wished: WishedRuntime,
): Promise<string[]> {
  if (names.includes(path.dirname(MANIFEST_FILE))) return []
  const found: string[] = []
  for (const name of names) {
    if (isNumber(name) && (await holdsModel(path.join(folder, name), wished))) found.push(name)
  }
  return inOrder(found)
}

async function findFolders(names: readonly string[], folder: string): Promise<string[]> {
  const isFolder = await Promise.all(
    names.map(async (name) => (await stat(path.join(folder, name))).isDirectory()),
  )
  return inOrder(names.filter((_, index) => isFolder[index]))
}

function inOrder(numbers: readonly string[]): string[] {
  return numbers.toSorted((a, b) => Number(BigInt(a) - BigInt(b)) || a.localeCompare(b))
}

async function holdsModel(folder: string, { handler = '' }: WishedRuntime): Promise<boolean> {
  if (!(await stat(folder)).isDirectory()) return false
  const names = await readdir(folder)
  const [module = ''] = handler.split(':', 1)
  const isCode = (name: string): boolean => module !== '' && path.parse(name).name === module
  return names.some(
    (name) =>
      [MODEL_SETTINGS_FILE, path.dirname(MANIFEST_FILE), module].includes(name) ||
      isNetworkFile(name) ||
      isCode(name),
  )
}

function applyPolicy(numbers: readonly string[], config: ModelConfig | undefined): string[] {
  const policy = config?.version_policy
  if (policy !== undefined && 'latest' in policy) return numbers.slice(-policy.latest.num_versions)
  if (policy !== undefined && 'specific' in policy) {
    return numbers.filter((number) => policy.specific.versions.includes(Number(number)))
  }
  return [...numbers]
}

/** Where a version is: a folder or a `.onnx` file. */
interface VersionPlace {
  readonly location: string
  readonly isFile: boolean
  readonly isNumbered: boolean
}

async function readVersion(
  { location, isFile, isNumbered }: VersionPlace,
  root: string | undefined,
  wished: WishedRuntime,
  names: FolderNames,
): Promise<FoundVersion> {
  const folder = isFile ? path.dirname(location) : location
  const isOwnFolder = !isFile || isOwnNetwork(path.basename(location))
  const parents = isNumber(path.basename(folder)) ? [folder, path.dirname(folder)] : [folder]
  for (const parent of parents) {
    for (const name of [MODEL_SETTINGS_FILE, MANIFEST_FILE]) {
      const file = path.join(parent, name)
      // The folder of a single file may be a store with thousands of models: it is not listed.
      if (isFile || (await names.mayHave(parent, name))) await isRegularFile(file, root)
    }
  }
  const config = isOwnFolder
    ? await readConfig(isNumbered ? path.dirname(folder) : folder, root, names)
    : undefined
  const modelPath = isFile ? location : networkOf(folder, config)
  const files = await readModelFiles(modelPath, wished.handler, root)
  const { manifest, onnxFile, settings } = files
  const hasHandler = [wished.handler, settings.handler, manifest?.model?.handler].some(Boolean)
  if (config !== undefined && !hasHandler) checkBackend(config)
  const triton = config === undefined ? {} : settingsOf(config)
  if (onnxFile !== undefined) await checkNetwork(onnxFile, folder, root)
  const version = isNumbered
    ? path.basename(folder)
    : (settings.version ?? String(manifest?.model?.modelVersion ?? DEFAULT_VERSION))
  checkModelVersion(version)
  return {
    ...(await runtimeOf(files, { ...wished, pipeline: settings.pipeline ?? triton.pipeline })),
    manifestName: manifest?.model?.modelName,
    version,
    isNumbered,
    modelPath,
    chosen: wished.handler === undefined ? files : undefined,
    settings: { ...triton, ...settings },
    reshapes: config === undefined ? NO_RESHAPES : reshapesOf(config),
    settingsFrom: {
      ...keysFrom(triton, MODEL_CONFIG_FILE),
      ...keysFrom(settings, MODEL_SETTINGS_FILE),
    },
    ...(config !== undefined && {
      triton: { config, report: reportOfFile(config, triton, settings, hasHandler) },
    }),
  }
}

function keysFrom<File extends string>(settings: ModelSettings, file: File): Record<string, File> {
  return Object.fromEntries(Object.keys(settings).map((key) => [key, file]))
}

/** Returns the `.onnx` file that `config.pbtxt` names, else the folder. */
function networkOf(folder: string, config: ModelConfig | undefined): string {
  const name = config?.default_model_filename
  return name !== undefined && isNetworkFile(name) ? pathInside(folder, name) : folder
}

async function readConfig(
  folder: string,
  root: string | undefined,
  names: FolderNames,
): Promise<ModelConfig | undefined> {
  const file = path.join(folder, MODEL_CONFIG_FILE)
  if (!(await names.mayHave(folder, MODEL_CONFIG_FILE))) return undefined
  if (!(await isRegularFile(file, root))) return undefined
  return parseModelConfig(await readTextInside(file, { root, maxBytes: MAX_CONFIG_BYTES }))
}

async function checkNetwork(file: string, folder: string, root: string | undefined): Promise<void> {
  const name = JSON.stringify(path.relative(folder, file))
  const size = await sizeOfFile(file, root)
  if (size === undefined) throw invalid(`The model has no file ${name}.`)
  if (size === 0) throw invalid(`${name} is empty.`)
  await access(file, constants.R_OK)
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidModelException', message)
}
