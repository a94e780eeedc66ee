/**
 * Finds the files at a model's path: the `.onnx` file, `model.json`, the archive's manifest. Both
 * processes use this code, so that they always agree on the file.
 */
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Static, TSchema } from '@sinclair/typebox'
import { ServerError, messageOf } from '../errors.ts'
import type { Manifest } from './manifest.ts'
import { nestedNetwork } from './nested-network.ts'
import {
  MANIFEST_FILE,
  MODEL_SETTINGS_FILE,
  NETWORK_EXTENSION,
  isNetworkFile,
  isOwnNetwork,
} from './paths.ts'
import { readTextInside } from './read-inside.ts'
import type { ModelSettings } from './settings.ts'

const MAX_SETTINGS_BYTES = 1024 * 1024

/** The files of one model version. */
export interface ModelFiles {
  /** Folder of the model's files. */
  readonly folder: string
  /**
   * Absolute path of the `.onnx` file; absent if the folder has none (a model with a custom
   * handler).
   */
  readonly onnxFile: string | undefined
  readonly settings: ModelSettings
  /** Folder that `labels` and other file names in the settings are relative to. */
  readonly settingsFolder: string
  readonly manifest: Manifest | undefined
}

/**
 * Reads the files at `modelPath`, a folder or a single `.onnx` file. `model.json` is read from the
 * same folder, or from the parent if the folder is a numbered version (`digits/1`) without one.
 * @param handler Handler of the registration; it overrides the files.
 * @param root Real path that contains every file.
 * @throws ServerError `InvalidModelException` if a file is malformed or the `.onnx` file is
 * ambiguous.
 */
export async function readModelFiles(
  modelPath: string,
  handler?: string,
  root?: string,
): Promise<ModelFiles> {
  return (await stat(modelPath)).isDirectory()
    ? filesOfFolder(modelPath, handler, root)
    : filesOfFile(modelPath, root)
}

async function filesOfFolder(
  folder: string,
  handler: string | undefined,
  root: string | undefined,
): Promise<ModelFiles> {
  const names = await readdir(folder)
  const { settings, settingsFolder } = await readSettings(
    folder,
    names.includes(MODEL_SETTINGS_FILE),
    root,
  )
  const mayHaveManifest = names.includes(path.dirname(MANIFEST_FILE))
  const manifest = mayHaveManifest ? await readManifest(folder, root) : undefined
  const usesNetwork = BUILT_IN_HANDLERS.includes(
    handler ?? settings.handler ?? manifest?.model?.handler ?? '',
  )
  const own = chooseNetwork(folder, names, settings, usesNetwork)
  const onnxFile = own ?? (usesNetwork ? await nestedNetwork(folder, names) : undefined)
  return { folder, onnxFile, settings, settingsFolder, manifest }
}

/** Lists the folder only if it has a `model.json`: a store can contain thousands of models. */
async function filesOfFile(onnxFile: string, root: string | undefined): Promise<ModelFiles> {
  const folder = path.dirname(onnxFile)
  const found = await readSettings(folder, true, root)
  const isOwn = found.hasFile && (await belongsTo(found.settings, onnxFile))
  const { settings, settingsFolder } = isOwn ? found : { settings: {}, settingsFolder: folder }
  return { folder, onnxFile, settings, settingsFolder, manifest: undefined }
}

/** Handlers that are part of onnxd, so the model needs no code. */
export const BUILT_IN_HANDLERS: readonly string[] = ['', 'onnx', 'image']

/**
 * Returns the path of `name` inside `folder`.
 * @throws ServerError `InvalidModelException` if the name points outside.
 */
export function pathInside(folder: string, name: string): string {
  const resolved = path.resolve(folder, name)
  const [first] = path.relative(folder, resolved).split(path.sep)
  if (path.isAbsolute(name) || name.includes('\0') || first === '' || first === '..') {
    throw new ServerError(
      'InvalidModelException',
      `${JSON.stringify(name)} points outside the model's folder.`,
    )
  }
  return resolved
}

/** @param mayBeHere Whether the folder may contain a `model.json`. */
async function readSettings(
  folder: string,
  mayBeHere: boolean,
  root: string | undefined,
): Promise<{ settings: ModelSettings; settingsFolder: string; hasFile: boolean }> {
  const isNumbered = /^\d+$/.test(path.basename(folder))
  for (const place of [
    ...(mayBeHere ? [folder] : []),
    ...(isNumbered ? [path.dirname(folder)] : []),
  ]) {
    const settings = await readSettingsFile(place, root)
    if (settings !== undefined) return { settings, settingsFolder: place, hasFile: true }
  }
  return { settings: {}, settingsFolder: folder, hasFile: false }
}

/**
 * In a folder with several `.onnx` files, `model.json` applies to the one it names, else to
 * `model.onnx`.
 */
async function belongsTo(settings: ModelSettings, onnxFile: string): Promise<boolean> {
  const name = path.basename(onnxFile)
  if (settings.model !== undefined) return settings.model === name
  return isOwnNetwork(name) || networksIn(await readdir(path.dirname(onnxFile))).length === 1
}

function chooseNetwork(
  folder: string,
  names: readonly string[],
  settings: ModelSettings,
  usesNetwork: boolean,
): string | undefined {
  if (settings.model !== undefined) return pathInside(folder, settings.model)
  const networks = networksIn(names)
  const own = networks.find((name) => name === 'model.onnx') ?? networks.find(isOwnNetwork)
  if (own !== undefined) return path.join(folder, own)
  const [only, ...others] = networks
  if (others.length > 0 && !usesNetwork) return undefined
  if (others.length > 0) {
    throw new ServerError(
      'InvalidModelException',
      `The folder contains ${networks.length} .onnx files; set "model" in ${MODEL_SETTINGS_FILE} to the name of one.`,
    )
  }
  return only === undefined ? undefined : path.join(folder, only)
}

/**
 * Returns the `.onnx` files that are not hidden. Names in capitals count only if there are no
 * others.
 */
function networksIn(names: readonly string[]): string[] {
  const networks = names.filter((name) => isNetworkFile(name) && !name.startsWith('.'))
  const usual = networks.filter((name) => name.endsWith(NETWORK_EXTENSION))
  return usual.length > 0 ? usual : networks
}

/**
 * The schemas are imported only for a model with such a file: they would double the start time of a
 * worker.
 */
async function readSettingsFile(
  folder: string,
  root: string | undefined,
): Promise<ModelSettings | undefined> {
  const value = await readJson(path.join(folder, MODEL_SETTINGS_FILE), root, withoutNull)
  if (value === undefined) return undefined
  return check(MODEL_SETTINGS_FILE, (await import('./settings.ts')).ModelSettings, value)
}

async function readManifest(
  folder: string,
  root: string | undefined,
): Promise<Manifest | undefined> {
  const value = await readJson(path.join(folder, MANIFEST_FILE), root)
  if (value === undefined) return undefined
  return check(path.basename(MANIFEST_FILE), (await import('./manifest.ts')).Manifest, value)
}

async function readJson(
  file: string,
  root: string | undefined,
  reviver?: typeof withoutNull,
): Promise<unknown> {
  const text = await readText(file, root)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text, reviver)
  } catch (cause) {
    const problem = `Failed to parse ${path.basename(file)}: ${jsonProblem(cause, text)}.`
    throw new ServerError('InvalidModelException', problem, { cause })
  }
}

/** What `JSON.parse` says, with a line in place of a position and without a part of the file. */
function jsonProblem(cause: unknown, text: string): string {
  const said = messageOf(cause)
    .replace(/(?:, .*| in JSON at position .*| in JSON input| of JSON input)$/s, '')
    .replace(/^[A-Z]/, (letter) => letter.toLowerCase())
  const position = /at position (\d+)/.exec(messageOf(cause))?.[1]
  if (position === undefined) return said
  const before = text.slice(0, Number(position)).split('\n')
  return `${said} at line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`
}

/**
 * Treats a key with the value null as absent, as in requests. The whole file has an empty key and
 * is kept.
 */
function withoutNull(key: string, value: unknown): unknown {
  return value === null && key !== '' ? undefined : value
}

async function check<T extends TSchema>(
  name: string,
  schema: T,
  value: unknown,
): Promise<Static<T>> {
  const { fits, problemWith } = await import('../schema.ts')
  if (fits(schema, value)) return value
  const problem = problemWith(schema, value) ?? 'unknown problem'
  throw new ServerError('InvalidModelException', `${name} is not valid: ${problem}.`)
}

async function readText(file: string, root: string | undefined): Promise<string | undefined> {
  try {
    return await readTextInside(file, { root, maxBytes: MAX_SETTINGS_BYTES })
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ENOENT' || error.code === 'ENOTDIR')
  )
}
