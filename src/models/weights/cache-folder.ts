/** The folder of the weight cache: its entries, and the folders of entries that are being built. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, chown, lstat, mkdir, open, readdir, rename, rm, utimes } from 'node:fs/promises'
import path from 'node:path'
import { ENTRY_FILE, MODEL_FILE, WEIGHTS_FILE } from '../../contract/shared-weights.ts'
import type { EntryRecord } from '../../contract/shared-weights.ts'
import { messageOf, withoutFolders } from '../../errors.ts'
import { FolderClaim, isClaimed } from '../../system/folder-claim.ts'
import { codeOf } from '../../system/process-identity.ts'
import type { WorkerUser } from '../../worker/host/confinement.ts'
import { copyForeign } from './copy-foreign.ts'
import { ENTRY_FILES, HASHES_FOLDER, listEntries } from './entry-list.ts'

const PRIVATE = 0o700
/** Lets workers of another user pass through, and read files whose names they know. */
const PASSABLE = 0o711
const READABLE = 0o644
const OTHERS_MAY_WRITE = 0o022
/** Folders that a server builds or removes, and the socket that shows that the server runs. */
const BUILDING = /^tmp-([0-9a-f]{12})-\d+$/
const CLAIM = /^([0-9a-f]{12})\.sock$/

/** The folder cannot be used, for a reason that is the whole message. */
export class CacheFolderError extends Error {}

/** The folder, checked and claimed by this process. */
export class CacheFolder {
  readonly path: string
  readonly #user: WorkerUser | undefined
  readonly #id: string
  readonly #claim: FolderClaim
  #count = 0

  private constructor(
    folder: string,
    user: WorkerUser | undefined,
    id: string,
    claim: FolderClaim,
  ) {
    this.path = folder
    this.#user = user
    this.#id = id
    this.#claim = claim
  }

  /**
   * Creates or checks the folder, and removes what servers that were killed have left in it.
   * @param user User of the workers, if it is not the server's own.
   * @throws CacheFolderError
   */
  static async open(folder: string, user?: WorkerUser): Promise<CacheFolder> {
    try {
      await mkdir(folder, { recursive: true, mode: PRIVATE })
      await requireOwn(folder)
      if (user !== undefined) await chmod(folder, PASSABLE)
      await removeAbandoned(folder)
      const id = randomBytes(6).toString('hex')
      return new CacheFolder(folder, user, id, await FolderClaim.make(folder, `${id}.sock`))
    } catch (error) {
      if (error instanceof CacheFolderError) throw error
      const reason = codeOf(error) ?? withoutFolders(messageOf(error, 200))
      throw new CacheFolderError(`The cache folder cannot be used (${reason}).`, { cause: error })
    }
  }

  /** Removes all entries and everything that is remembered about files. */
  async clear(): Promise<void> {
    for (const { key } of await listEntries(this.path)) await this.removeEntry(key)
    await remove(path.join(this.path, HASHES_FOLDER))
  }

  /** Creates an empty folder for a new entry, which the user of the workers can write to. */
  async newBuilding(): Promise<string> {
    const folder = this.#newName()
    await mkdir(folder, { mode: PRIVATE })
    if (this.#user !== undefined) await chown(folder, this.#user.uid, this.#user.gid)
    return folder
  }

  /**
   * Makes the files in a folder of {@link newBuilding} an entry. Files that the user of the workers
   * owns are copied, and must be checked again.
   * @returns False if another server has published the same entry.
   */
  async publish(building: string, record: EntryRecord): Promise<boolean> {
    const folder = this.#user === undefined ? building : await this.#copy(building, this.#user.uid)
    const entry = await open(path.join(folder, ENTRY_FILE), 'wx', this.#fileMode)
    try {
      await entry.writeFile(`${JSON.stringify(record, undefined, 2)}\n`)
      await entry.sync()
    } finally {
      await entry.close()
    }
    await chmod(folder, this.#user === undefined ? PRIVATE : PASSABLE)
    await syncFolder(folder)
    try {
      await rename(folder, path.join(this.path, record.key))
    } catch (error) {
      if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error
      await remove(folder)
      return false
    } finally {
      if (folder !== building) await remove(building)
    }
    await syncFolder(this.path)
    return true
  }

  /** The files of an entry. */
  pathsOf(key: string): { readonly model: string; readonly weights: string } {
    const folder = path.join(this.path, key)
    return { model: path.join(folder, MODEL_FILE), weights: path.join(folder, WEIGHTS_FILE) }
  }

  /** Removes an entry, or whatever has its name. Workers that have mapped its files keep them. */
  async removeEntry(key: string): Promise<void> {
    const moved = this.#newName()
    try {
      await rename(path.join(this.path, key), moved)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return
      throw error
    }
    await remove(moved)
  }

  /** Removes a folder of {@link newBuilding}. */
  async removeBuilding(building: string): Promise<void> {
    await remove(building)
  }

  /** Notes that an entry is used, so that it is not the first to be removed. */
  async touch(key: string): Promise<void> {
    const now = new Date()
    // Another server may remove the entry at the same time.
    await utimes(path.join(this.path, key, ENTRY_FILE), now, now).catch(() => {})
  }

  /** Removes the entries that were used least recently until the rest fits into `maxBytes`. */
  async shrink(maxBytes: number, isInUse: (key: string) => boolean): Promise<readonly string[]> {
    const entries = await listEntries(this.path)
    let total = entries.reduce((sum, { bytes }) => sum + bytes, 0)
    const removed: string[] = []
    for (const { key, bytes } of entries) {
      if (total <= maxBytes) break
      if (isInUse(key)) continue
      await this.removeEntry(key)
      removed.push(key)
      total -= bytes
    }
    return removed
  }

  async close(): Promise<void> {
    await this.#claim.release()
  }

  get #fileMode(): number {
    return this.#user === undefined ? 0o600 : READABLE
  }

  #newName(): string {
    this.#count += 1
    return path.join(this.path, `tmp-${this.#id}-${this.#count}`)
  }

  async #copy(building: string, owner: number): Promise<string> {
    const folder = this.#newName()
    await mkdir(folder, { mode: PRIVATE })
    for (const name of ENTRY_FILES)
      await copyForeign(path.join(building, name), path.join(folder, name), owner)
    return folder
  }
}

/** @throws CacheFolderError unless it is a folder that only this user can write to. */
async function requireOwn(folder: string): Promise<void> {
  const { uid, mode, ...found } = await lstat(folder)
  const isFolder = (mode & constants.S_IFMT) === constants.S_IFDIR && found.nlink > 0
  if (!isFolder) throw new CacheFolderError('The cache folder is a link or a file.')
  if (process.geteuid !== undefined && uid !== process.geteuid())
    throw new CacheFolderError('The cache folder belongs to another user.')
  if ((mode & OTHERS_MAY_WRITE) !== 0)
    throw new CacheFolderError('Other users may write to the cache folder.')
}

/** Removes the folders and sockets of servers that do not run any more. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const id = (BUILDING.exec(name) ?? CLAIM.exec(name))?.[1]
    if (id === undefined || (await isClaimed(folder, `${id}.sock`))) continue
    // Another server that starts at the same time removes the same folders.
    await remove(path.join(folder, name)).catch(() => {})
  }
}

async function remove(place: string): Promise<void> {
  await rm(place, { recursive: true, force: true })
}

/** Writes a folder or a file to the disk. */
async function syncFolder(place: string): Promise<void> {
  const handle = await open(place, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
