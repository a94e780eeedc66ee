import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../../errors.ts'
import { pathInside } from '../../../model-folder/files.ts'
import type { ModelFiles } from '../../../model-folder/files.ts'

const MAX_LABELS_BYTES = 8 * 1024 * 1024

/**
 * Reads the class labels, in the order of classes, from the file that `model.json` names, otherwise
 * from `fallback`, a file beside `config.pbtxt`. Returns `undefined` without such a file name.
 *
 * The file has one label per line, or is JSON: a list, or TorchServe's object (`{"0": "cat"}`,
 * `{"0": ["n01", "cat"]}`).
 * @throws ServerError `InvalidModelException` when the file is missing, too large or has another
 * format.
 */
export async function readLabels(
  { settings, settingsFolder, folder }: ModelFiles,
  fallback = '',
): Promise<readonly string[] | undefined> {
  const name = settings.labels ?? fallback
  if (name === '') return undefined
  // In a numbered version folder, `config.pbtxt` is in the folder above.
  const configFolder = /^\d+$/.test(path.basename(folder)) ? path.dirname(folder) : folder
  const file = pathInside(settings.labels === undefined ? configFolder : settingsFolder, name)
  const found = await stat(file).catch((cause: unknown) => {
    throw problem(name, 'cannot be read', cause)
  })
  if (!found.isFile()) throw problem(name, 'is not a file')
  if (found.size > MAX_LABELS_BYTES) throw problem(name, `is larger than ${MAX_LABELS_BYTES} bytes`)
  const text = (await readFile(file, 'utf8')).replace(/^\uFEFF/, '')
  return path.extname(name) === '.json' ? labelsOfJson(name, text) : labelsOfLines(text)
}

function labelsOfLines(text: string): readonly string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.trim())
}

function labelsOfJson(name: string, text: string): readonly string[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw problem(name, 'is not JSON', cause)
  }
  if (typeof value !== 'object' || value === null)
    throw problem(name, 'is neither a list nor an object')
  const entries = Object.entries(value)
  const labels = new Map<string, string>()
  for (const [index, entry] of entries) {
    const label: unknown = Array.isArray(entry) ? entry.at(-1) : entry
    if (typeof label !== 'string')
      throw problem(name, `has no label for class ${JSON.stringify(index)}`)
    labels.set(index, label)
  }
  return entries.map((_, index) => {
    const label = labels.get(String(index))
    if (label === undefined)
      throw problem(name, `does not have the class numbers 0 to ${entries.length - 1}`)
    return label
  })
}

function problem(name: string, text: string, cause?: unknown): ServerError {
  const message = `The label file ${JSON.stringify(name)} ${text}.`
  return new ServerError('InvalidModelException', message, cause === undefined ? {} : { cause })
}
