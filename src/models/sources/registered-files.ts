/**
 * Records the state of a model's files at its registration. The files stay in the operator's folder
 * and may be replaced or written to while the model is served. Then new workers would serve another
 * model than the old ones.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { messageOf, withoutFolders } from '../../errors.ts'
import { readModelFiles } from '../../model-folder/files.ts'
import type { ModelFiles } from '../../model-folder/files.ts'
import { followTrail, isSameTrail } from './file-trail.ts'
import type { FileTrail } from './file-trail.ts'
import { choiceOf, listMappedFiles, listModelFiles } from './model-file-list.ts'

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

/** A model whose files are recorded. */
export interface RegisteredModel {
  readonly modelPath: string
  readonly settings: { readonly labels?: string | undefined }
  /** What `readModelFiles` has returned for the path; `undefined` if it has to be read. */
  readonly chosen: ModelFiles | undefined
}

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
   * @param root Real path of the store, which must contain the files; `undefined` for no limit.
   * @throws ServerError as `readModelFiles`; Error of the file system.
   */
  static async ofModel(
    { modelPath, settings, chosen }: RegisteredModel,
    root: string | undefined,
  ): Promise<RegisteredFiles> {
    const files = chosen ?? (await readModelFiles(modelPath, undefined, root))
    const { records, contents } = await recordsOf(
      await listModelFiles(modelPath, files, settings.labels ?? ''),
    )
    const mapped = await listMappedFiles(files, contents)
    return new RegisteredFiles(records, mapped, modelPath, choiceOf(files), root)
  }

  /** Records one file, an archive. */
  static async ofFile(file: string): Promise<RegisteredFiles> {
    const { records } = await recordsOf([file])
    return new RegisteredFiles(records)
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

  /** Size of the files in bytes. */
  get bytes(): number {
    return this.#records.reduce((sum, { identity }) => sum + Number(identity.split(' ')[2]), 0)
  }

  /** A text that is different when a file differs. The device may have another number later. */
  get fingerprint(): string {
    const parts = this.#records.map(({ file, digest, identity }) => [
      file,
      digest ?? '',
      ...identity.split(' ').slice(1),
    ])
    return JSON.stringify([this.#choice ?? '', ...parts])
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
      const files = await readModelFiles(modelPath, undefined, this.#root)
      if (choiceOf(files) === this.#choice) return undefined
      return 'a new file changes the selection of the .onnx file or of the settings'
    } catch (error) {
      return withoutFolders(messageOf(error, 500)).replace(/\.$/, '')
    }
  }
}

/** Also returns the contents of small files, so that they need not be read again. */
async function recordsOf(
  files: readonly string[],
): Promise<{ records: FileRecord[]; contents: ReadonlyMap<string, Buffer> }> {
  const records: FileRecord[] = []
  const contents = new Map<string, Buffer>()
  let left = MAX_TOTAL_BYTES
  for (const file of files) {
    // The identity is read first, so that a later write counts as a change.
    const { identity, inode, size, isFile } = await identityOf(file)
    const isSmall = isFile && size <= Math.min(MAX_CONTENT_BYTES, left)
    const content = isSmall ? await readFile(file).catch(() => undefined) : undefined
    if (isSmall) left -= size
    if (content !== undefined) contents.set(file, content)
    records.push({ file, inode, identity, digest: content && sha256Of(content) })
  }
  return { records, contents }
}

async function isOther({ file, digest, identity }: FileRecord): Promise<boolean> {
  if (digest !== undefined) return (await digestOf(file)) !== digest
  return (await identityOf(file)).identity !== identity
}

interface Identity {
  readonly inode: string
  readonly identity: string
  readonly size: number
  readonly isFile: boolean
}

async function identityOf(file: string): Promise<Identity> {
  const stats = await stat(file, { bigint: true })
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  const inode = `${dev} ${ino}`
  const identity = [inode, size, mtimeNs, ctimeNs].join(' ')
  return { inode, identity, size: Number(size), isFile: stats.isFile() }
}

/** Returns the SHA-256 of a file. For a file that is too large now, the size is enough. */
async function digestOf(file: string): Promise<string> {
  const stats = await stat(file)
  if (!stats.isFile()) return 'not a file'
  if (stats.size > MAX_CONTENT_BYTES) return `${stats.size} bytes`
  return sha256Of(await readFile(file))
}

function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
