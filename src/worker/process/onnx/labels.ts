import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../../errors.ts'
import { pathInside } from '../../../model-folder/files.ts'
import type { ModelFiles } from '../../../model-folder/files.ts'
import { impliedLabels } from './implied-labels.ts'
import { LabelError, parseLabels } from './label-file.ts'

const MAX_LABELS_BYTES = 8 * 1024 * 1024

/**
 * Reads the class labels, in the order of classes: from the file that `model.json` names, otherwise
 * from `fallback`, a file beside `config.pbtxt`, otherwise those that come with the model (see
 * {@link impliedLabels}). Returns `undefined` without any.
 * @throws ServerError `InvalidModelException` when the named file is missing, too large or has
 * another format.
 */
export async function readLabels(
  files: ModelFiles,
  fallback = '',
): Promise<readonly string[] | undefined> {
  const { settings, settingsFolder, folder } = files
  const name = settings.labels ?? fallback
  if (name === '') return impliedLabels(files)
  // In a numbered version folder, `config.pbtxt` is in the folder above.
  const configFolder = /^\d+$/.test(path.basename(folder)) ? path.dirname(folder) : folder
  const file = pathInside(settings.labels === undefined ? configFolder : settingsFolder, name)
  const found = await stat(file).catch((cause: unknown) => {
    throw problem(name, 'cannot be read', cause)
  })
  if (!found.isFile()) throw problem(name, 'is not a file')
  if (found.size > MAX_LABELS_BYTES) throw problem(name, `is larger than ${MAX_LABELS_BYTES} bytes`)
  const text = await readFile(file, 'utf8')
  try {
    return parseLabels(text, path.extname(name) === '.json')
  } catch (error) {
    throw error instanceof LabelError ? problem(name, error.message, error.cause) : error
  }
}

function problem(name: string, text: string, cause?: unknown): ServerError {
  const message = `The label file ${JSON.stringify(name)} ${text}.`
  return new ServerError('InvalidModelException', message, cause === undefined ? {} : { cause })
}
