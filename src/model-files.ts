/**
 * What lies at a model's path: the `.onnx` file, `model.json`, the archive's manifest. Read by both
 * processes, each for its own half, so that they can never disagree about which file is meant.
 */
import { readFile, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { Value } from '@sinclair/typebox/value'
import type { Static, TSchema } from '@sinclair/typebox'
import { ServerError } from './errors.ts'
import { Manifest, MANIFEST_FILE } from './model-manifest.ts'
import { problemWith } from './schema.ts'
import { MODEL_SETTINGS_FILE, ModelSettings } from './model-settings.ts'

const MAX_SETTINGS_BYTES = 1024 * 1024

/** The files of one model version. */
export interface ModelFiles {
  /** Folder that holds the model's files. */
  readonly folder: string
  /** Absolute path of the network, absent when the folder has none (a model with code of its own). */
  readonly onnxFile: string | undefined
  readonly settings: ModelSettings
  /** Folder that `labels` and other file names of the settings are relative to. */
  readonly settingsFolder: string
  readonly manifest: Manifest | undefined
}

/**
 * Reads what lies at `modelPath`, a folder or a bare `.onnx` file. `model.json` is looked for beside the
 * file, and one level up when the folder is a numbered version (`digits/1`).
 * @throws ServerError `InvalidModelException` when a file is malformed or the network is ambiguous.
 */
export async function readModelFiles(modelPath: string): Promise<ModelFiles> {
  const isFolder = (await stat(modelPath)).isDirectory()
  const folder = isFolder ? modelPath : path.dirname(modelPath)
  const names = await readdir(folder)
  const found = await readSettings(folder, names)
  const { settings, settingsFolder } = isFolder || belongsTo(found.settings, names, path.basename(modelPath))
    ? found
    : { settings: {}, settingsFolder: folder }
  return {
    folder,
    onnxFile: isFolder ? chooseNetwork(folder, names, settings) : modelPath,
    settings,
    settingsFolder,
    manifest: isFolder ? await readSchema(path.join(folder, MANIFEST_FILE), Manifest) : undefined,
  }
}

/**
 * Path of `name` inside `folder`.
 * @throws ServerError `InvalidModelException` when the name points outside.
 */
export function pathInside(folder: string, name: string): string {
  const resolved = path.resolve(folder, name)
  if (path.isAbsolute(name) || !resolved.startsWith(path.resolve(folder) + path.sep)) {
    throw new ServerError('InvalidModelException', `${JSON.stringify(name)} points outside the model's folder.`)
  }
  return resolved
}

async function readSettings(
  folder: string,
  names: readonly string[],
): Promise<{ settings: ModelSettings; settingsFolder: string }> {
  const isNumbered = /^\d+$/.test(path.basename(folder))
  const settingsFolder =
    isNumbered && !names.includes(MODEL_SETTINGS_FILE) ? path.dirname(folder) : folder
  const settings = await readSchema(path.join(settingsFolder, MODEL_SETTINGS_FILE), ModelSettings)
  return { settings: settings ?? {}, settingsFolder: settings ? settingsFolder : folder }
}

/** A `model.json` in a folder of several networks speaks of the one it names, else of `model.onnx`. */
function belongsTo(settings: ModelSettings, names: readonly string[], fileName: string): boolean {
  if (settings.model !== undefined) return settings.model === fileName
  return fileName === 'model.onnx' || names.filter(isNetwork).length === 1
}

function chooseNetwork(
  folder: string,
  names: readonly string[],
  settings: ModelSettings,
): string | undefined {
  if (settings.model !== undefined) return pathInside(folder, settings.model)
  const networks = names.filter(isNetwork)
  if (networks.includes('model.onnx')) return path.join(folder, 'model.onnx')
  const [only, ...others] = networks
  if (others.length > 0) {
    throw new ServerError(
      'InvalidModelException',
      `The folder holds ${networks.length} .onnx files; name one in ${MODEL_SETTINGS_FILE} as "model".`,
    )
  }
  return only === undefined ? undefined : path.join(folder, only)
}

function isNetwork(name: string): boolean {
  return name.endsWith('.onnx') && !name.startsWith('.')
}

async function readSchema<T extends TSchema>(file: string, schema: T): Promise<Static<T> | undefined> {
  const name = path.basename(file)
  const text = await readText(file)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ServerError('InvalidModelException', `Failed to parse ${name}.`, { cause })
  }
  if (Value.Check(schema, value)) return value
  throw new ServerError(
    'InvalidModelException',
    `${name} is not valid: ${problemWith(schema, value) ?? 'unknown problem'}.`,
  )
}

async function readText(file: string): Promise<string | undefined> {
  try {
    const { size } = await stat(file)
    if (size > MAX_SETTINGS_BYTES) {
      throw new ServerError('InvalidModelException', `${path.basename(file)} is larger than 1 MiB.`)
    }
    return await readFile(file, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}
