/** The files that go into an archive, with their names there. */
import { readdir, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { ConfigError, ServerError, fileProblem } from '../../../errors.ts'
import { DEFAULT_ARCHIVE_LIMITS } from '../../../models/archives/extract.ts'

/** Folders and files that no server reads. */
const UNUSED_NAMES: readonly string[] = ['__pycache__', '__MACOSX']
const UNUSED_EXTENSIONS: readonly string[] = ['.pyc', '.mar']

/** A file of an archive. */
export interface ArchivedFile {
  /** Path in the archive, with `/`. */
  readonly name: string
  readonly bytes: number
  /** Absolute path on disk, or the content itself. */
  readonly source: string | Buffer
}

/** A folder whose files are added. */
export interface AddedFolder {
  /** Absolute path. */
  readonly folder: string
  /** Real path that links must not leave. */
  readonly root: string
  /** Real path of a file that is left out: the archive itself. */
  readonly except?: string | undefined
}

/** The files of one archive. Two files cannot have the same name. */
export class FileList {
  readonly #files = new Map<string, ArchivedFile>()
  /** Name in the archive of each real path. */
  readonly #names = new Map<string, string>()
  readonly #leftOut: string[] = []
  #bytes = 0

  /** The files, sorted by name. */
  get sorted(): readonly ArchivedFile[] {
    return [...this.#files.values()].toSorted((one, other) => (one.name < other.name ? -1 : 1))
  }

  /** Paths of files and folders that were not added, for example hidden ones. */
  get leftOut(): readonly string[] {
    return this.#leftOut.toSorted()
  }

  has(name: string): boolean {
    return this.#files.has(name)
  }

  /** Adds a file with a content that is not on disk, in place of one with the same name. */
  setContent(name: string, content: Buffer): void {
    this.#files.set(name, { name, bytes: content.length, source: content })
  }

  /**
   * Adds a file and returns its name in the archive. A file that was added before keeps its name.
   * @param name Default: the name of the file, at the top of the archive.
   * @throws ConfigError if it does not exist, is not a regular file, or the name is taken.
   */
  async addFile(file: string, name = path.basename(file)): Promise<string> {
    const real = await realpath(file).catch((cause: unknown) => {
      throw new ConfigError(`Cannot read ${file}: ${fileProblem(cause)}.`, { cause })
    })
    const known = this.#names.get(real)
    if (known !== undefined) return known
    const stats = await stat(real)
    if (!stats.isFile()) throw new ConfigError(`${file} is not a file.`)
    this.#add(name, real, stats.size)
    return name
  }

  /**
   * Adds all files of a folder and of the folders in it, except hidden ones and those that Python
   * and archivers write.
   * @throws ServerError `InvalidModelException` for a link out of the root, a broken link, or
   * anything but regular files and folders.
   */
  async addFolder(added: AddedFolder): Promise<void> {
    await this.#addFolder(added, '', [await realpath(added.folder)])
  }

  async #addFolder(added: AddedFolder, prefix: string, above: readonly string[]): Promise<void> {
    const current = path.join(added.folder, prefix)
    for (const entry of await readdir(current, { withFileTypes: true })) {
      const name = prefix + entry.name
      if (isUnused(entry.name)) {
        this.#leftOut.push(name)
        continue
      }
      const { real, stats } = await this.#follow(path.join(current, entry.name), name, added)
      if (stats.isDirectory()) {
        if (above.includes(real)) throw refused(name, 'is a link to a folder that contains it')
        await this.#addFolder(added, `${name}/`, [...above, real])
      } else if (!stats.isFile()) {
        throw refused(name, 'is not a regular file')
      } else if (real !== added.except) {
        this.#add(name, real, stats.size)
      }
    }
  }

  async #follow(location: string, name: string, { root }: AddedFolder) {
    const real = await realpath(location).catch((cause: unknown) => {
      throw refused(name, `cannot be read: ${fileProblem(cause)}`)
    })
    const isInside = real === root || real.startsWith(root.endsWith('/') ? root : `${root}/`)
    if (!isInside) {
      throw refused(
        name,
        'is a link that leads out of the folder. Replace it by a copy, or add the file with --extra-files',
      )
    }
    return { real, stats: await stat(real) }
  }

  #add(name: string, real: string, bytes: number): void {
    const other = this.#files.get(name)
    if (other !== undefined) {
      const text = `Two files would have the name ${JSON.stringify(name)} in the archive: ${String(other.source)} and ${real}.`
      throw new ConfigError(text)
    }
    this.#files.set(name, { name, bytes, source: real })
    if (!this.#names.has(real)) this.#names.set(real, name)
    this.#bytes += bytes
    const { maxEntries, maxTotalBytes } = DEFAULT_ARCHIVE_LIMITS
    if (this.#files.size >= maxEntries) {
      throw tooLarge(`it has more than ${maxEntries - 1} files`)
    }
    if (this.#bytes >= maxTotalBytes) {
      throw tooLarge(`its files are larger than ${maxTotalBytes} bytes together`)
    }
  }
}

function isUnused(name: string): boolean {
  const extension = path.extname(name).toLowerCase()
  return (
    name.startsWith('.') || UNUSED_NAMES.includes(name) || UNUSED_EXTENSIONS.includes(extension)
  )
}

function refused(name: string, problem: string): ServerError {
  return new ServerError('InvalidModelException', `${JSON.stringify(name)} ${problem}.`)
}

function tooLarge(problem: string): ServerError {
  const text = `The model is too large for an archive: ${problem}. Serve its folder instead.`
  return new ServerError('PayloadTooLargeException', text)
}
