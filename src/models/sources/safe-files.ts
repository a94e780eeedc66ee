/**
 * Checks the files of a model: they must be regular files, and links must stay inside. A file is
 * checked before it is opened, because opening a FIFO can block forever.
 */
import { readdir, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'

/** The names in the folders of one model. Each folder is read once. */
export class FolderNames {
  readonly #folders = new Map<string, Promise<readonly string[]>>()

  /** @throws Error of the file system. */
  read(folder: string): Promise<readonly string[]> {
    const known = this.#folders.get(folder)
    if (known !== undefined) return known
    const names = readdir(folder)
    this.#folders.set(folder, names)
    return names
  }

  /** Whether a folder may contain a file: false if the first name of its path is missing. */
  async mayHave(folder: string, file: string): Promise<boolean> {
    const [first = ''] = file.split(path.sep)
    const names = await this.read(folder).catch(() => [first])
    return names.includes(first)
  }
}

/**
 * Whether `file` exists.
 * @param root Real path that must contain the file; `undefined` for no limit.
 * @throws ServerError `InvalidModelException` for anything but a regular file inside `root`.
 */
export async function isRegularFile(file: string, root: string | undefined): Promise<boolean> {
  return (await sizeOfFile(file, root)) !== undefined
}

/** As {@link isRegularFile}, but returns the size in bytes; `undefined` for a missing file. */
export async function sizeOfFile(
  file: string,
  root: string | undefined,
): Promise<number | undefined> {
  const name = path.basename(file)
  try {
    const stats = await stat(file)
    if (!stats.isFile()) throw refused(name, 'is not a regular file')
    await realPathInside(file, root)
    return stats.size
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * Checks everything in `folder`. No link may lead out of `root`, a real path.
 * @throws ServerError `InvalidModelException` that names the rejected file.
 */
export async function checkTree(folder: string, root: string): Promise<void> {
  const folders = [folder]
  for (let current = folders.pop(); current !== undefined; current = folders.pop()) {
    for (const entry of await readdir(current, { withFileTypes: true })) {
      const location = path.join(current, entry.name)
      if (entry.isDirectory()) folders.push(location)
      else if (entry.isSymbolicLink()) await checkLink(location, folder, root)
      else if (!entry.isFile())
        throw refused(path.relative(folder, location), 'is not a regular file')
    }
  }
}

/**
 * Returns the real path of `file`.
 * @param root Real path that must contain the file; `undefined` for no limit.
 * @throws ServerError `InvalidModelException` if the file is not below `root`.
 */
export async function realPathInside(file: string, root: string | undefined): Promise<string> {
  const real = await realpath(file)
  if (root === undefined || real.startsWith(root.endsWith(path.sep) ? root : root + path.sep)) {
    return real
  }
  throw refused(path.basename(file), 'points outside the model store')
}

/** Whether a file system error says that the file does not exist. */
export function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'].some((missing) => missing === code)
}

async function checkLink(link: string, folder: string, root: string): Promise<void> {
  const name = path.relative(folder, link)
  try {
    const stats = await stat(await realPathInside(link, root))
    if (!stats.isFile() && !stats.isDirectory()) throw refused(name, 'is not a regular file')
  } catch (error) {
    if (isMissing(error)) throw refused(name, 'is a broken symbolic link')
    throw error
  }
}

function refused(name: string, problem: string): ServerError {
  return new ServerError('InvalidModelException', `${JSON.stringify(name)} ${problem}.`)
}
