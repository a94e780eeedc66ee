import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { lstat, mkdtemp, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { FolderClaim, isClaimed } from '../../folder-claim.ts'

/** Node 20 silently cuts a unix socket path at 107 bytes; this leaves room for `/w1234567.sock`. */
const MAX_PATH_BYTES = 90
/** `onnxd-<pid>-<random>`. */
const NAME = /^onnxd-\d+-\w{6}$/
/** The socket by which a server claims its folder. */
const CLAIM = 'server.sock'
/** A server claims its folder right after it has made it; one that never did was killed between. */
const UNCLAIMED_MS = 60_000

/**
 * The folder of one server instance for sockets, FIFOs and unpacked archives: made with mode 0700
 * under a name nobody can guess, removed when the server stops.
 */
export class RuntimeDirectory {
  readonly path: string
  readonly #claim: FolderClaim
  #nextSocket = 1

  private constructor(folder: string, claim: FolderClaim) {
    this.path = folder
    this.#claim = claim
  }

  /** Makes the folder, and removes those of servers that were killed before they could do it. */
  static async create(parent: string = tmpdir()): Promise<RuntimeDirectory> {
    const prefix = path.join(parent, `onnxd-${process.pid}-`)
    if (Buffer.byteLength(prefix) + 6 > MAX_PATH_BYTES) {
      throw new Error(
        `The temporary folder ${parent} has too long a path for unix sockets; set TMPDIR to a shorter one.`,
      )
    }
    const folder = await mkdtemp(prefix)
    try {
      const runtime = new RuntimeDirectory(folder, await FolderClaim.make(folder, CLAIM))
      await removeAbandoned(parent, folder)
      return runtime
    } catch (error) {
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** A socket path that this instance has not used yet. */
  nextSocketPath(): string {
    return path.join(this.path, `w${this.#nextSocket++}.sock`)
  }

  /** Removes the folder with all it holds. Safe to call again, and from an exit hook. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
    void this.#claim.release()
  }
}

/**
 * Removes folders of this user whose server is gone. Other users may write to the temporary folder too,
 * so each is moved into the private folder `own` first: there nobody can exchange it for a link.
 */
async function removeAbandoned(parent: string, own: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const folder = path.join(parent, name)
    if (!NAME.test(name) || folder === own) continue
    // What another process changes or removes meanwhile is its own to care for.
    await removeIfAbandoned(folder, path.join(own, name)).catch(() => {})
  }
}

async function removeIfAbandoned(folder: string, moved: string): Promise<void> {
  if (!(await isPrivate(folder))) return
  const claim = await lstat(path.join(folder, CLAIM)).catch(() => undefined)
  if (claim === undefined) {
    const { mtimeMs } = await lstat(folder)
    // `rmdir` takes empty folders only.
    if (Date.now() - mtimeMs > UNCLAIMED_MS) await rmdir(folder)
    return
  }
  if (!claim.isSocket() || (await isClaimed(folder, CLAIM))) return
  await rename(folder, moved)
  if (await isPrivate(moved)) await rm(moved, { recursive: true, force: true })
  // Exchanged between the look and the move: it goes back untouched, under another name if need be.
  else await rename(moved, folder).catch(() => rename(moved, `${folder}-${randomUUID()}`))
}

/** A folder, no link, of this user, that nobody else may enter. */
async function isPrivate(folder: string): Promise<boolean> {
  const found = await lstat(folder)
  return found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o777) === 0o700
}
