import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import type { Stats } from 'node:fs'
import { lstat, mkdtemp, readdir, rename, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Logger } from 'pino'
import { FolderClaim, isClaimed } from '../../system/folder-claim.ts'
import type { WorkerUser } from './confinement.ts'
import { PASS, letPass, letRead } from './shared-files.ts'

/**
 * Bytes. Node 20 silently cuts a unix socket path at 107 bytes; this leaves room for
 * `/w1234567/w.sock.0`.
 */
const MAX_PATH_BYTES = 88
/** Matches `onnxd-<pid>-<random>`. */
const NAME = /^onnxd-\d+-\w{6}$/
/** Name of the socket that shows that a running server owns the folder. */
const CLAIM = 'server.sock'
/**
 * Milliseconds. A server claims its folder right after it has created it. An older folder without a
 * claim belongs to a server that was killed in between.
 */
const UNCLAIMED_MS = 60_000

/**
 * The folder of one server instance for sockets, FIFOs and unpacked archives. It is created with
 * mode 0700 under a random name and removed when the server stops.
 */
export class RuntimeDirectory {
  readonly path: string
  readonly #user: WorkerUser | undefined
  readonly #log: Pick<Logger, 'warn'> | undefined
  #claim: Promise<FolderClaim>
  #isClaiming = false
  #nextWorker = 1

  private constructor(
    folder: string,
    claim: FolderClaim,
    user: WorkerUser | undefined,
    log: Pick<Logger, 'warn'> | undefined,
  ) {
    this.path = folder
    this.#claim = Promise.resolve(claim)
    this.#user = user
    this.#log = log
  }

  /**
   * Creates the folder, and removes the folders of servers that were killed.
   * @param user User of the workers, if it is not the server's own. It may pass through the folder
   * to the folders of its workers.
   * @param log Is told when the folder had to be created again.
   * @throws Error when the path of the temporary folder is too long for unix sockets.
   */
  static async create(
    user?: WorkerUser,
    parent: string = path.resolve(tmpdir()),
    log?: Pick<Logger, 'warn'>,
  ): Promise<RuntimeDirectory> {
    const prefix = path.join(parent, `onnxd-${process.pid}-`)
    if (Buffer.byteLength(prefix) + 6 > MAX_PATH_BYTES) {
      throw new Error(
        `The path of the temporary folder ${parent} is too long for unix sockets. Set TMPDIR to a folder with a shorter path.`,
      )
    }
    const folder = await mkdtemp(prefix)
    try {
      const runtime = new RuntimeDirectory(folder, await FolderClaim.make(folder, CLAIM), user, log)
      if (user !== undefined) await letPass(folder, user.gid)
      await removeAbandoned(parent, folder)
      return runtime
    } catch (error) {
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /**
   * Returns a new path for the private folder of one worker, for its socket and temporary files.
   */
  newWorkerFolder(): string {
    return path.join(this.path, `w${this.#nextWorker++}`)
  }

  /**
   * Creates the folder of a worker, and the runtime folder again if somebody has removed it.
   * @throws Error of the system, for example `ENOSPC` when the disk is full, and `EEXIST` when
   * another user has taken the name of the runtime folder.
   */
  makeWorkerFolder(folder: string): void {
    this.#restore()
    mkdirSync(folder, { mode: 0o700 })
    if (this.#user !== undefined) chownSync(folder, this.#user.uid, this.#user.gid)
  }

  /**
   * Writes a new file that only the worker of the folder can read. An existing file or link is not
   * touched: a worker of another user could have made it.
   * @throws Error of the system, for example `EEXIST`, or `ENOSPC` when the disk is full.
   */
  writeWorkerFile(file: string, text: string): void {
    const descriptor = openSync(file, 'wx', 0o600)
    try {
      writeFileSync(descriptor, text)
      if (this.#user !== undefined) fchownSync(descriptor, this.#user.uid, this.#user.gid)
    } finally {
      closeSync(descriptor)
    }
  }

  /** Removes the folder of a worker that has ended. */
  removeWorkerFolder(folder: string): void {
    try {
      this.#remove(folder)
    } catch {
      // For example, no descriptor is free. The folder is then removed with the runtime folder.
    }
  }

  /**
   * Lets the user of the workers read a model that lies in a private folder of the server.
   * @param roots The private folders, the outer before the inner ones.
   */
  async share(file: string, roots: readonly string[]): Promise<void> {
    if (this.#user !== undefined) await letRead(file, roots, this.#user.gid)
  }

  /** Removes the folder and its contents. Safe to call again, and from an exit hook. */
  remove(): void {
    this.#remove(this.path)
    void this.#claim.then((claim) => claim.release())
  }

  /**
   * Programs that clean up temporary folders remove what looks old. The same path is used again,
   * because the models of the server know it.
   */
  #restore(): void {
    const found = lstatSync(this.path, { throwIfNoEntry: false })
    const isOurs = found !== undefined && isPrivateFolder(found)
    const hasClaim = this.#isClaiming || existsSync(path.join(this.path, CLAIM))
    // An upload or an unpacked archive may have created the folder again, without the claim.
    if (isOurs && hasClaim) return
    this.#log?.warn(
      { folder: this.path },
      'the runtime folder was removed while the server runs; it is created again. Exclude it from programs that clean up temporary folders',
    )
    if (!isOurs) mkdirSync(this.path, { mode: 0o700 })
    if (this.#user !== undefined) {
      chownSync(this.path, process.geteuid?.() ?? 0, this.#user.gid)
      chmodSync(this.path, 0o700 | PASS)
    }
    this.#isClaiming = true
    this.#claim = this.#claimAgain(this.#claim)
  }

  /** The earlier claim goes first, because its release removes the socket by its name. */
  async #claimAgain(earlier: Promise<FolderClaim>): Promise<FolderClaim> {
    const claim = await earlier
    try {
      await claim.release()
      return await FolderClaim.make(this.path, CLAIM)
    } catch (err) {
      // The folder works without it. The claim only tells later servers not to remove the folder.
      this.#log?.warn({ err }, 'the runtime folder cannot be claimed')
      return claim
    } finally {
      this.#isClaiming = false
    }
  }

  #remove(folder: string): void {
    if (this.#user === undefined) rmSync(folder, { recursive: true, force: true })
    else removeForeign(folder)
  }
}

/**
 * Removes a folder that another user can write to. That user could replace entries with links
 * during the removal. The system's `rm` opens each folder without following links; Node's `rmSync`
 * does not.
 */
function removeForeign(folder: string): void {
  spawnSync('rm', ['-rf', '--', folder])
}

/**
 * Removes folders of this user whose server is gone. Other users may also write to the temporary
 * folder, so each folder is first moved into the private folder `own`, where nobody else can
 * replace it with a link.
 */
async function removeAbandoned(parent: string, own: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const folder = path.join(parent, name)
    if (!NAME.test(name) || folder === own) continue
    // Errors are ignored: another process may change or remove the folder at the same time.
    await removeIfAbandoned(folder, path.join(own, name)).catch(() => {})
  }
}

async function removeIfAbandoned(folder: string, moved: string): Promise<void> {
  if (!(await isPrivate(folder))) return
  const claim = await lstat(path.join(folder, CLAIM)).catch(() => undefined)
  if (claim === undefined) {
    const { mtimeMs } = await lstat(folder)
    // `rmdir` removes only empty folders.
    if (Date.now() - mtimeMs > UNCLAIMED_MS) await rmdir(folder)
    return
  }
  if (!claim.isSocket() || (await isClaimed(folder, CLAIM))) return
  await rename(folder, moved)
  // A server that ran as root may have run workers of another user in it.
  if (await isPrivate(moved)) removeForeign(moved)
  // It was replaced between the check and the move: move it back unchanged, under another name if
  // necessary.
  else await rename(moved, folder).catch(() => rename(moved, `${folder}-${randomUUID()}`))
}

/** Whether this is a folder (not a link) of this user that no other user can change or list. */
async function isPrivate(folder: string): Promise<boolean> {
  return isPrivateFolder(await lstat(folder))
}

function isPrivateFolder(found: Stats): boolean {
  return found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o067) === 0
}
