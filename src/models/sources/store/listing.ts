/**
 * Lists a model store: the models for the start, and files that are named without their extension.
 */
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../../errors.ts'
import { isModelFile, withoutExtension } from '../model-name.ts'

/** Folders that file systems keep at their root. */
const FOREIGN_FOLDERS = ['lost+found', '$RECYCLE.BIN', 'System Volume Information']

/**
 * Returns the names of all models in a store, sorted: `.onnx` files, archives, and folders with any
 * file in them. Hidden files and folders are left out.
 */
export async function listStore(modelStore: string): Promise<string[]> {
  try {
    const entries = (await readdir(modelStore, { withFileTypes: true })).filter(({ name }) =>
      isVisible(name),
    )
    const isServable = await Promise.all(
      entries.map(async (entry) => {
        const location = path.join(modelStore, entry.name)
        const isLink = entry.isSymbolicLink()
        const kind = isLink ? await stat(location).catch(() => undefined) : entry
        if (kind?.isDirectory() === true) return holdsFile(location)
        return kind?.isFile() === true && isModelFile(entry.name)
      }),
    )
    return entries
      .filter((_, index) => isServable[index])
      .map(({ name }) => name)
      .toSorted()
  } catch (cause) {
    throw new ServerError('ModelNotFoundException', 'The model store cannot be read.', { cause })
  }
}

/**
 * Returns the file whose name without extension is `location`, for example `mnist.onnx` for
 * `mnist`; `undefined` if none exists.
 * @throws ServerError `BadRequestException` if several exist.
 */
export async function fileNamedWithoutEnding(location: string): Promise<string | undefined> {
  const wanted = path.basename(location)
  const names = await readdir(path.dirname(location)).catch(() => [])
  const found = names.filter((name) => isModelFile(name) && withoutExtension(name) === wanted)
  const [only, ...others] = found
  if (others.length > 0) {
    const text = `${JSON.stringify(wanted)} is ambiguous: the model store contains ${found.toSorted().join(' and ')}. Use one of these names.`
    throw new ServerError('BadRequestException', text)
  }
  return only === undefined ? undefined : path.join(path.dirname(location), only)
}

function isVisible(name: string): boolean {
  return !name.startsWith('.') && !FOREIGN_FOLDERS.includes(name)
}

/**
 * Whether a folder contains a file that is not hidden. A folder that cannot be read counts, so that
 * its error is reported.
 */
async function holdsFile(folder: string): Promise<boolean> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined)
  if (entries === undefined) return true
  const visible = entries.filter(({ name }) => isVisible(name))
  if (visible.some((entry) => !entry.isDirectory())) return true
  for (const { name } of visible) if (await holdsFile(path.join(folder, name))) return true
  return false
}
