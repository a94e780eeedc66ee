/** Rules for the names of models and versions, and default names. */
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import { NETWORK_EXTENSION, isNetworkFile, isOwnNetwork } from '../../model-folder/paths.ts'

/** A model's name is a path segment, a part of a file name and a metric label. */
export const MODEL_NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** Files that are unpacked; `.mar` and `.model` are zip files. */
const ARCHIVE_EXTENSIONS = ['.mar', '.model', '.zip', '.tar.gz', '.tgz']
const MAX_SHOWN = 200

/**
 * Names that cannot be used because the server has a fixed path where the name would stand, with
 * that path. `/models/{model}` also has the form of `/{model}/predict`.
 */
export const RESERVED_NAMES: ReadonlyMap<string, string> = new Map([
  ['stats', '/v2/models/stats'],
  ['upload', '/models/upload'],
  ['models', '/models/predict'],
  ['predictions', '/predictions/predict'],
  ['explanations', '/explanations/predict'],
])

/** The same for versions. */
export const RESERVED_VERSIONS: ReadonlyMap<string, string> = new Map(
  [
    'all',
    'decode',
    'embed',
    'embed_all',
    'embed_sparse',
    'info',
    'invoke',
    'predict',
    'profile',
    'rerank',
    'rollout',
    'routing',
    'shadow',
    'similarity',
    'tokenize',
  ].map((word) => [word, `/models/{model}/${word}`]),
)

/**
 * @throws ServerError `BadRequestException` if `name` is not a valid model name.
 */
export function checkModelName(name: string): void {
  if (!MODEL_NAME_PATTERN.test(name)) throw refused('name', name)
  const taken = RESERVED_NAMES.get(name)
  if (taken !== undefined) throw reserved('name', name, taken)
}

/**
 * @throws ServerError `BadRequestException` if `version` is not valid. The rule is that of names.
 */
export function checkModelVersion(version: string): void {
  if (!MODEL_NAME_PATTERN.test(version)) throw refused('version', version)
  const taken = RESERVED_VERSIONS.get(version)
  if (taken !== undefined) throw reserved('version', version, taken)
}

/** A name or version from a client for a message, cut to 200 characters. */
export function shownName(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

/**
 * Returns the default name of a model at a path. The rule for archives is that of MMS's start. A
 * `model.onnx` and a numbered version get the name of their folder.
 * @throws ServerError `InvalidModelException` if the path has no usable characters.
 */
export function nameOfPath(location: string, root: string | undefined): string {
  if (isArchive(location)) {
    return withoutStart(withoutExtension(path.basename(location)).replaceAll(/\W/g, '_'))
  }
  const own = isOwnNetwork(path.basename(location)) ? path.dirname(location) : location
  const named = isNumberedFolder(own, root) ? path.dirname(own) : own
  const name = path.basename(named)
  const stem = isNetworkFile(name) ? withoutExtension(name) : name
  return withoutStart(stem.replaceAll(/[^A-Za-z0-9._-]/g, '_'))
}

/**
 * Returns the default name of a model from the name of a transferred file.
 * @throws ServerError `InvalidModelException` that says how to name the model instead.
 */
export function nameOfFile(fileName: string): string {
  const isNamed = isArchive(fileName) || !isOwnNetwork(fileName)
  if (isNamed && /[A-Za-z0-9]/.test(withoutExtension(fileName))) {
    return nameOfPath(fileName, undefined)
  }
  const text = `Model name is not defined: the file name ${JSON.stringify(fileName)} gives no valid name. Set the parameter model_name.`
  throw new ServerError('InvalidModelException', text)
}

/** Whether a folder's name is a version number. */
export function isNumber(name: string): boolean {
  return /^\d{1,18}$/.test(name)
}

/**
 * Whether a folder is a numbered version (`digits/1`): its name is the version, and its parent's
 * name is the model's.
 */
export function isNumberedFolder(folder: string, root: string | undefined): boolean {
  return isNumber(path.basename(folder)) && path.dirname(folder) !== root
}

/** Whether a file is an archive, by its name. */
export function isArchive(file: string): boolean {
  return ARCHIVE_EXTENSIONS.includes(modelExtension(file))
}

/** Whether a file is a model, by its name. */
export function isModelFile(file: string): boolean {
  return modelExtension(file) !== ''
}

/** Returns the name without the extension of {@link modelExtension}. */
export function withoutExtension(name: string): string {
  return name.slice(0, name.length - modelExtension(name).length)
}

/**
 * Returns the extension of a model file, for example `.onnx` or `.tar.gz`, always in lower case;
 * `''` for other files.
 */
export function modelExtension(file: string): string {
  const name = path.basename(file).toLowerCase()
  const known = [NETWORK_EXTENSION, ...ARCHIVE_EXTENSIONS]
  return known.find((end) => name.endsWith(end) && name.length > end.length) ?? ''
}

/** Removes characters at the start: a name must start with a letter or digit. */
function withoutStart(text: string): string {
  const name = text.replace(/^[._-]+/, '')
  if (name !== '') return name
  throw new ServerError('InvalidModelException', 'Model name is not defined.')
}

function refused(what: string, text: string): ServerError {
  const shown = JSON.stringify(text.slice(0, 200))
  return new ServerError('BadRequestException', `Invalid model ${what}: ${shown}`)
}

function reserved(what: string, text: string, taken: string): ServerError {
  return new ServerError(
    'BadRequestException',
    `Invalid model ${what}: "${text}" is reserved, because ${taken} is a path of the server. Choose another ${what}.`,
  )
}
