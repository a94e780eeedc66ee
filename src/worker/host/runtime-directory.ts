import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chownSync, mkdirSync, rmSync } from 'node:fs'
import { lstat, mkdtemp, readdir, rename, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { FolderClaim, isClaimed } from '../../folder-claim.ts'
import type { WorkerUser } from './confinement.ts'
import { letPass, letRead } from './shared-files.ts'

/** Node 20 silently cuts a unix socket path at 107 bytes; this leaves room for `/w1234567/w.sock.0`. */
const MAX_PATH_BYTES = 88
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
  readonly #user: WorkerUser | undefined
  #nextWorker = 1

  private constructor(folder: string, claim: FolderClaim, user: WorkerUser | undefined) {
    this.path = folder
    this.#claim = claim
    this.#user = user
  }

  /**
   * Makes the folder, and removes those of servers that were killed before they could do it.
   * @param user Of the workers, where it is another one: it may pass through the folder to its own.
   */
  static async create(user?: WorkerUser, parent: string = tmpdir()): Promise<RuntimeDirectory> {
    const prefix = path.join(parent, `onnxd-${process.pid}-`)
    if (Buffer.byteLength(prefix) + 6 > MAX_PATH_BYTES) {
      throw new Error(
        `The temporary folder ${parent} has too long a path for unix sockets; set TMPDIR to a shorter one.`,
      )
    }
    const folder = await mkdtemp(prefix)
    try {
      const runtime = new RuntimeDirectory(folder, await FolderClaim.make(folder, CLAIM), user)
      if (user !== undefined) await letPass(folder, user.gid)
      await removeAbandoned(parent, folder)
      return runtime
    } catch (error) {
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** Path for the private folder of one worker: its socket and its temporary files. */
  newWorkerFolder(): string {
    return path.join(this.path, `w${this.#nextWorker++}`)
  }

  /**
   * Makes the folder of a worker.
   * @throws Error of the system, for example `ENOSPC` when the disk is full.
   */
  makeWorkerFolder(folder: string): void {
    mkdirSync(folder, { mode: 0o700 })
    if (this.#user !== undefined) chownSync(folder, this.#user.uid, this.#user.gid)
  }

  /** Removes the folder of a worker that has ended. */
  removeWorkerFolder(folder: string): void {
    try {
      this.#remove(folder)
    } catch {
      // Without a free descriptor, say, it goes with the runtime folder.
    }
  }

  /**
   * Lets the workers' user read a model that lies in a private folder of the server.
   * @param roots Such folders, the outer before the inner ones.
   */
  async share(file: string, roots: readonly string[]): Promise<void> {
    if (this.#user !== undefined) await letRead(file, roots, this.#user.gid)
  }

  /** Removes the folder with all it holds. Safe to call again, and from an exit hook. */
  remove(): void {
    this.#remove(this.path)
    void this.#claim.release()
  }

  #remove(folder: string): void {
    if (this.#user === undefined) rmSync(folder, { recursive: true, force: true })
    else removeForeign(folder)
  }
}

/**
 * What another user may still write to could be exchanged for links while it is removed. `rm` of the
 * system opens each folder without following links; Node's does not.
 */
function removeForeign(folder: string): void {
  spawnSync('rm', ['-rf', '--', folder])
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
  // Root may have run workers of another user in it.
  if (await isPrivate(moved)) removeForeign(moved)
  // Exchanged between the look and the move: it goes back untouched, under another name if need be.
  else await rename(moved, folder).catch(() => rename(moved, `${folder}-${randomUUID()}`))
}

/** A folder, no link, of this user, that nobody else may change or list. */
async function isPrivate(folder: string): Promise<boolean> {
  const found = await lstat(folder)
  return found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o067) === 0
}
