import path from 'node:path'
import { ServerError } from '../../../../errors.ts'
import { pathInside } from '../../../../model-folder/files.ts'
import type { ModelFiles } from '../../../../model-folder/files.ts'
import { readTextInside } from '../../../../model-folder/read-inside.ts'
import { impliedLabels } from './implied-labels.ts'
import { LabelError, parseLabels } from './label-file.ts'

const MAX_LABELS_BYTES = 8 * 1024 * 1024

/**
 * Reads the class labels, in the order of classes: from the file that `model.json` names, otherwise
 * from `fallback`, a file beside `config.pbtxt`, otherwise those that come with the model (see
 * {@link impliedLabels}). Returns `undefined` without any.
 * @param root Real path that contains every file; `undefined` for no limit.
 * @throws ServerError `InvalidModelException` when the named file is missing, too large or has
 * another format.
 */
export async function readLabels(
  files: ModelFiles,
  fallback = '',
  root?: string,
): Promise<readonly string[] | undefined> {
  const { settings, settingsFolder, folder } = files
  const name = settings.labels ?? fallback
  if (name === '') return impliedLabels(files, root)
  // In a numbered version folder, `config.pbtxt` is in the folder above.
  const configFolder = /^\d+$/.test(path.basename(folder)) ? path.dirname(folder) : folder
  const file = pathInside(settings.labels === undefined ? configFolder : settingsFolder, name)
  const text = await readTextInside(file, { root, maxBytes: MAX_LABELS_BYTES }).catch(
    (cause: unknown) => {
      throw cause instanceof ServerError ? cause : problem(name, 'cannot be read', cause)
    },
  )
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
