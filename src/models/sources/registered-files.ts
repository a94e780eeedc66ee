/**
 * Records the state of a model's files at its registration. The files stay in the operator's folder
 * and may be replaced or written to while the model is served. Then new workers would serve another
 * model than the old ones.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { messageOf, withoutFolders } from '../../errors.ts'
import { followTrail, isSameTrail } from './file-trail.ts'
import type { FileTrail } from './file-trail.ts'
import { chosenFiles, listMappedFiles, listModelFiles } from './model-file-list.ts'

/** Files up to this size are compared by content, up to `MAX_TOTAL_BYTES` per model. */
const MAX_CONTENT_BYTES = 1024 * 1024
const MAX_TOTAL_BYTES = 16 * 1024 * 1024

interface FileRecord {
  readonly file: string
  /** Device and inode number; another file has others. */
  readonly inode: string
  /** SHA-256, if the file is compared by content. */
  readonly digest: string | undefined
  /**
   * Device, inode number, size, and the times of the last write and the last change, in
   * nanoseconds.
   */
  readonly identity: string
}

/**
 * The trail of each file by its path; `undefined` for a path without a file or outside the root.
 */
export type FileTrails = ReadonlyMap<string, FileTrail | undefined>

/** The files of one model version at one moment. */
export class RegisteredFiles {
  readonly #records: readonly FileRecord[]
  /** The path at which the `.onnx` file and the settings are chosen, and that choice. */
  readonly #modelPath: string | undefined
  readonly #choice: string | undefined
  readonly #root: string | undefined

  /** Files whose content workers have mapped, so that they see every write. */
  readonly #mapped: readonly FileRecord[]

  private constructor(
    records: readonly FileRecord[],
    mapped: readonly string[] = [],
    modelPath?: string,
    choice?: string,
    root?: string,
  ) {
    this.#records = records
    this.#mapped = records.filter(({ file }) => mapped.includes(file))
    this.#modelPath = modelPath
    this.#choice = choice
    this.#root = root
  }

  /**
   * Records the files that a model's workers read.
   * @param labels The label file; empty if there is none.
   * @param root Real path of the store, which must contain the files; `undefined` for no limit.
   * @throws as `listModelFiles`.
   */
  static async ofModel(
    modelPath: string,
    labels: string,
    root: string | undefined,
  ): Promise<RegisteredFiles> {
    const records = await recordsOf(await listModelFiles(modelPath, labels, root))
    const mapped = await listMappedFiles(modelPath, root)
    return new RegisteredFiles(records, mapped, modelPath, await chosenFiles(modelPath, root), root)
  }

  /** Records one file, an archive. */
  static async ofFile(file: string): Promise<RegisteredFiles> {
    return new RegisteredFiles(await recordsOf([file]))
  }

  /**
   * Returns the first difference, for example `"model.onnx" has changed`; `undefined` if there is
   * none.
   */
  async findChange(): Promise<string | undefined> {
    for (const record of this.#records) {
      const name = JSON.stringify(path.basename(record.file))
      try {
        if (await isOther(record)) return `${name} has changed`
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
        return `${name} can no longer be read${code}`
      }
    }
    return this.#modelPath === undefined ? undefined : this.#findOtherChoice(this.#modelPath)
  }

  /** Real path that must contain every file; `undefined` for paths outside the store. */
  get root(): string | undefined {
    return this.#root
  }

  /**
   * Returns the current trails of the files, if they are in a store. For other models the map is
   * empty.
   */
  async follow(): Promise<FileTrails> {
    const root = this.#root
    if (root === undefined) return new Map()
    const files = this.#records.map(({ file }) => file)
    const follow = async (file: string): Promise<[string, FileTrail | undefined]> => [
      file,
      await followTrail(file, root).catch(() => undefined),
    ]
    return new Map(await Promise.all(files.map(follow)))
  }

  /**
   * Returns the file that may have been replaced since {@link follow} was called; `undefined` if
   * none was.
   */
  async findExchange(before: FileTrails): Promise<string | undefined> {
    for (const [file, now] of await this.follow()) {
      const then = before.get(file)
      if (then === undefined || now === undefined || !isSameTrail(then, now))
        return `${JSON.stringify(path.basename(file))} was replaced while it was being loaded`
    }
    return undefined
  }

  /** Whether workers have files mapped. */
  get hasMapped(): boolean {
    return this.#mapped.length > 0
  }

  /**
   * Returns the name of a mapped file that was written to. Replacing a file does not affect workers
   * that have mapped the old one.
   */
  async findOverwritten(): Promise<string | undefined> {
    for (const record of this.#mapped) {
      const now = await identityOf(record.file).catch(() => undefined)
      if (now === undefined || now.inode !== record.inode || now.identity === record.identity)
        continue
      if (await isOther(record)) return path.basename(record.file)
    }
    return undefined
  }

  async #findOtherChoice(modelPath: string): Promise<string | undefined> {
    try {
      if ((await chosenFiles(modelPath, this.#root)) === this.#choice) return undefined
      return 'a new file changes the selection of the .onnx file or of the settings'
    } catch (error) {
      return withoutFolders(messageOf(error, 500)).replace(/\.$/, '')
    }
  }
}

async function recordsOf(files: readonly string[]): Promise<FileRecord[]> {
  const records: FileRecord[] = []
  let left = MAX_TOTAL_BYTES
  for (const file of files) {
    // The identity is read first, so that a later write counts as a change.
    const { identity, inode, size } = await identityOf(file)
    const isSmall = size <= Math.min(MAX_CONTENT_BYTES, left)
    if (isSmall) left -= size
    records.push({
      file,
      inode,
      identity,
      digest: isSmall ? await digestOf(file).catch(() => undefined) : undefined,
    })
  }
  return records
}

async function isOther({ file, digest, identity }: FileRecord): Promise<boolean> {
  if (digest !== undefined) return (await digestOf(file)) !== digest
  return (await identityOf(file)).identity !== identity
}

interface Identity {
  readonly inode: string
  readonly identity: string
  readonly size: number
}

async function identityOf(file: string): Promise<Identity> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
  const inode = `${dev} ${ino}`
  return { inode, identity: [inode, size, mtimeNs, ctimeNs].join(' '), size: Number(size) }
}

/** Returns the SHA-256 of a file. For a file that is too large now, the size is enough. */
async function digestOf(file: string): Promise<string> {
  const stats = await stat(file)
  if (!stats.isFile()) return 'not a file'
  if (stats.size > MAX_CONTENT_BYTES) return `${stats.size} bytes`
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
}
