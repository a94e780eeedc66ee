/**
 * What the files of a model were when it was registered. They stay where the operator has put them and may be
 * replaced or written to while the model is served; then new workers would serve another model than the old ones.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { messageOf, withoutFolders } from '../../errors.ts'
import { followTrail, isSameTrail } from './file-trail.ts'
import type { FileTrail } from './file-trail.ts'
import { chosenFiles, listMappedFiles, listModelFiles } from './model-file-list.ts'

/** Smaller files are compared by their contents, up to so many bytes of one model. */
const MAX_CONTENT_BYTES = 1024 * 1024
const MAX_TOTAL_BYTES = 16 * 1024 * 1024

interface FileRecord {
  readonly file: string
  /** Device and number: another file has others. */
  readonly inode: string
  /** Of a file that is compared by its contents. */
  readonly digest: string | undefined
  /** Device, number, size, and the times of the last write and of the last change of anything, in nanoseconds. */
  readonly identity: string
}

/** The ways to the files, by their paths; `undefined` for one that leads nowhere or outside. */
export type FileTrails = ReadonlyMap<string, FileTrail | undefined>

/** The files of one model version as they were once. */
export class RegisteredFiles {
  readonly #records: readonly FileRecord[]
  /** Where the network and the settings are chosen among the files, and what was chosen. */
  readonly #modelPath: string | undefined
  readonly #choice: string | undefined
  readonly #root: string | undefined

  /** Those whose contents the workers see as they are now. */
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
   * Remembers what a model's workers read.
   * @param labels The file of labels, where anything names one.
   * @param root Real path of the store that the files must not lead out of, when there is one.
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

  /** Remembers one file, an archive. */
  static async ofFile(file: string): Promise<RegisteredFiles> {
    return new RegisteredFiles(await recordsOf([file]))
  }

  /** What is different now, for example `"model.onnx" has changed`; `undefined` when nothing is. */
  async findChange(): Promise<string | undefined> {
    for (const record of this.#records) {
      const name = JSON.stringify(path.basename(record.file))
      try {
        if (await isOther(record)) return `${name} has changed`
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
        return `${name} cannot be read any more${code}`
      }
    }
    return this.#modelPath === undefined ? undefined : this.#findOtherChoice(this.#modelPath)
  }

  /** Real path that no file may lead out of; `undefined` for the operator's own paths. */
  get root(): string | undefined {
    return this.#root
  }

  /** The ways to the files of a store as they are now. Those of other models are not looked at. */
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

  /** Which file may have been another one since {@link follow} was called; `undefined` when none was. */
  async findExchange(before: FileTrails): Promise<string | undefined> {
    for (const [file, now] of await this.follow()) {
      const then = before.get(file)
      if (then === undefined || now === undefined || !isSameTrail(then, now))
        return `${JSON.stringify(path.basename(file))} was exchanged while it was being loaded`
    }
    return undefined
  }

  /** Whether there are files whose contents the workers see as they are now. */
  get hasMapped(): boolean {
    return this.#mapped.length > 0
  }

  /** The name of a file that was written to while workers have it mapped. One that was replaced does them no harm. */
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
      return 'a new file changes which network or settings the model has'
    } catch (error) {
      return withoutFolders(messageOf(error, 500)).replace(/\.$/, '')
    }
  }
}

async function recordsOf(files: readonly string[]): Promise<FileRecord[]> {
  const records: FileRecord[] = []
  let left = MAX_TOTAL_BYTES
  for (const file of files) {
    // The identity first: what is written after it is seen as a change.
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

/** Of a file that has become too large to be read here, its size is enough. */
async function digestOf(file: string): Promise<string> {
  const stats = await stat(file)
  if (!stats.isFile()) return 'not a file'
  if (stats.size > MAX_CONTENT_BYTES) return `${stats.size} bytes`
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
}
