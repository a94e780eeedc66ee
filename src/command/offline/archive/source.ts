/** Finds the files of a model that is put into an archive, and what they say about it. */
import { readFile, readdir, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { ConfigError, ServerError, fileProblem, messageOf } from '../../../errors.ts'
import { readModelFiles } from '../../../model-folder/files.ts'
import {
  MANIFEST_FILE,
  MODEL_SETTINGS_FILE,
  isNetworkFile,
  isOwnNetwork,
} from '../../../model-folder/paths.ts'
import type { ModelSettings } from '../../../model-folder/settings.ts'
import { MODEL_CONFIG_FILE } from '../../../models/sources/config-pbtxt/model-config.ts'
import { listModelFiles } from '../../../models/sources/model-file-list.ts'
import {
  isArchive,
  isModelFile,
  isNumber,
  isNumberedFolder,
  nameOfPath,
} from '../../../models/sources/model-name.ts'
import { withFiles } from '../private-server.ts'
import type { FileList } from './file-list.ts'

/** Facts about a model before it is in an archive. */
export interface ModelSource {
  /** The name without a manifest: that of the folder or file. */
  readonly name: string | undefined
  /** The name of its folder, for a numbered version. */
  readonly version: string | undefined
  readonly settings: ModelSettings
  /** The manifest as it is, with keys that onnxd does not know. */
  readonly manifest: Readonly<Record<string, unknown>>
  /** The `.onnx` file that the server would choose. */
  readonly onnxFile: string | undefined
  /** Weights for a Python handler, if they are the argument. */
  readonly weights: string | undefined
}

/** Options of {@link addModel}. */
export interface SourceOptions {
  readonly list: FileList
  readonly handler: string | undefined
  /** Real path of an archive that will be replaced. */
  readonly except: string | undefined
  readonly signal: AbortSignal
}

/** A model without files of its own. */
export const NO_MODEL: ModelSource = {
  name: undefined,
  version: undefined,
  settings: {},
  manifest: {},
  onnxFile: undefined,
  weights: undefined,
}

/**
 * Adds the files at a path to the list and calls `use`. An archive is unpacked until `use` is done.
 * @throws ConfigError if the path does not exist or names several versions; ServerError if its
 * files cannot be served.
 */
export async function withModel<T>(
  location: string,
  options: SourceOptions,
  use: (source: ModelSource) => Promise<T>,
): Promise<T> {
  const stats = await stat(location).catch((cause: unknown) => {
    throw new ConfigError(`Cannot read ${location}: ${fileProblem(cause)}.`, { cause })
  })
  if (stats.isDirectory()) {
    const version = await onlyVersion(location, options.handler)
    return use(await addVersion(version, options))
  }
  if (!stats.isFile()) throw new ConfigError(`${location} is neither a file nor a folder.`)
  if (isArchive(location)) {
    return withFiles(location, options.signal, async ([found]) => {
      const folder = found?.modelPath ?? ''
      const inFolder = (await stat(folder)).isDirectory() ? folder : path.dirname(folder)
      const source = await addVersion(inFolder, options)
      return use({ ...source, name: found?.name })
    })
  }
  if (isModelFile(location)) return use(await addNetwork(location, options))
  const { dir, name } = path.parse(location)
  return use({ ...NO_MODEL, name: nameOf(path.join(dir, name)), weights: location })
}

/**
 * Returns the only numbered version in a folder, else the folder. As in the server, a manifest wins
 * over numbered folders, and those win over an `.onnx` file beside them.
 * @throws ConfigError if the folder has several numbered versions.
 */
async function onlyVersion(folder: string, handler: string | undefined): Promise<string> {
  const names = await readdir(folder)
  if (names.includes(path.dirname(MANIFEST_FILE))) return folder
  const numbers = names.filter(isNumber)
  const found = await Promise.all(
    numbers.map((number) => holdsModel(path.join(folder, number), handler)),
  )
  const versions = numbers.filter((_, index) => found[index]).toSorted((a, b) => +a - +b)
  const [only, ...others] = versions
  if (only === undefined) return folder
  if (others.length === 0) return path.join(folder, only)
  const example = path.join(folder, versions.at(-1) ?? '')
  throw new ConfigError(
    `${folder} has the versions ${versions.join(', ')}, and an archive has one. Name its folder, for example ${example}.`,
  )
}

async function holdsModel(folder: string, handler = ''): Promise<boolean> {
  const names = await readdir(folder).catch(() => [])
  const [code = ''] = handler.split(':', 1)
  const deciding = [MODEL_SETTINGS_FILE, path.dirname(MANIFEST_FILE), code, `${code}.py`]
  return names.some((name) => isNetworkFile(name) || deciding.includes(name))
}

async function addVersion(
  given: string,
  { list, handler, except }: SourceOptions,
): Promise<ModelSource> {
  const folder = path.resolve(given)
  const files = await readModelFiles(folder, handler)
  const root = await realpath(folder)
  await list.addFolder({ folder, root, except })
  const isNumbered = isNumberedFolder(folder, undefined)
  if (isNumbered) await addFilesAbove(path.dirname(folder), list)
  return {
    name: nameOf(folder),
    version: isNumbered ? path.basename(folder) : undefined,
    settings: files.settings,
    manifest: await readManifest(folder),
    onnxFile: files.onnxFile,
    weights: undefined,
  }
}

/**
 * Adds settings and labels of the folder above a numbered version. Models there are not part of the
 * version.
 */
async function addFilesAbove(folder: string, list: FileList): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const { name } = entry
    if (!entry.isFile() || name.startsWith('.') || isModelFile(name) || list.has(name)) continue
    await list.addFile(path.join(folder, name))
  }
}

/** A single `.onnx` file may lie beside other models, so only the files that it needs are added. */
async function addNetwork(given: string, { list, handler }: SourceOptions): Promise<ModelSource> {
  const file = path.resolve(given)
  const files = await readModelFiles(file, handler)
  const { folder, settings } = files
  const isOwn = isOwnNetwork(path.basename(file))
  const isNumbered = isOwn && isNumberedFolder(folder, undefined)
  const above = isNumbered ? path.dirname(folder) : folder
  const root = await realpath(above)
  const needed = await listModelFiles(file, files, settings.labels ?? '')
  const config = isOwn ? await existing(path.join(above, MODEL_CONFIG_FILE)) : []
  for (const one of [...needed, ...config]) {
    const real = await realpath(one)
    if (one !== file && !real.startsWith(root + path.sep)) {
      const text = `${JSON.stringify(path.basename(one))} is a link that leads out of the folder.`
      throw new ServerError('InvalidModelException', text)
    }
    const isBeside = one.startsWith(folder + path.sep)
    await list.addFile(one, isBeside ? path.relative(folder, one) : path.basename(one))
  }
  return {
    ...NO_MODEL,
    name: nameOf(file),
    version: isNumbered ? path.basename(folder) : undefined,
    settings: list.has(MODEL_SETTINGS_FILE) ? settings : {},
    onnxFile: file,
  }
}

async function existing(file: string): Promise<string[]> {
  const stats = await stat(file).catch(() => undefined)
  return stats?.isFile() === true ? [file] : []
}

async function readManifest(folder: string): Promise<Readonly<Record<string, unknown>>> {
  const file = path.join(folder, MANIFEST_FILE)
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return {}
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return { ...value }
    throw new Error('it is not an object')
  } catch (cause) {
    const problem = `Failed to parse ${path.basename(file)}: ${messageOf(cause)}.`
    throw new ServerError('InvalidModelException', problem, { cause })
  }
}

/** The server's own name for a path; `undefined` if it has none. */
function nameOf(location: string): string | undefined {
  try {
    return nameOfPath(path.resolve(location), undefined)
  } catch {
    return undefined
  }
}
