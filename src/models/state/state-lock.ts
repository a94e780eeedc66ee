/** Ensures that only one server uses a state folder. */
import { randomBytes } from 'node:crypto'
import { lstat, open, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { FolderClaim, isClaimed } from '../../system/folder-claim.ts'
import { codeOf, isSameProcess, startOfProcess } from '../../system/process-identity.ts'
import { StateError } from './state-format.ts'

const CLAIM = /^lock-(\d+)-([0-9a-z.]+)$/
/** Errors of file systems without sockets, such as some network file systems. */
const NO_SOCKETS: ReadonlySet<string | undefined> = new Set([
  'EPERM',
  'EOPNOTSUPP',
  'ENOTSUP',
  'EINVAL',
  'ENOSYS',
])

/**
 * A claim on a folder: a socket `lock-<pid>-<random>` that this server listens on. The kernel ends
 * the claim with the process. On a file system without sockets it is an empty file
 * `lock-<pid>-<start>`, which servers in other containers cannot check.
 */
export class StateLock {
  readonly #release: () => Promise<void>

  private constructor(release: () => Promise<void>) {
    this.#release = release
  }

  /**
   * Claims the folder, then looks for other claims. If two servers start together, at least one
   * sees the other, so never both hold the folder.
   * @throws StateError if another server holds the folder, or the folder cannot be written.
   */
  static async take(folder: string): Promise<StateLock> {
    const { name: own, release } = await claim(folder)
    const lock = new StateLock(release)
    try {
      for (const name of await readdir(folder)) {
        const [, pid = '', start] = CLAIM.exec(name) ?? []
        if (name === own || pid === '') continue
        if (await isHeld(folder, name, Number(pid), start)) throw inUse(folder, pid)
        await rm(path.join(folder, name), { force: true })
      }
    } catch (error) {
      await lock.release()
      throw error
    }
    return lock
  }

  /** Releases the folder. May be called more than once. */
  async release(): Promise<void> {
    await this.#release()
  }
}

async function claim(folder: string): Promise<{ name: string; release: () => Promise<void> }> {
  const name = `lock-${process.pid}-${randomBytes(6).toString('hex')}`
  try {
    const socket = await FolderClaim.make(folder, name)
    let released: Promise<void> | undefined
    return { name, release: () => (released ??= socket.release()) }
  } catch (cause) {
    if (NO_SOCKETS.has(codeOf(cause))) return claimByFile(folder)
    throw new StateError(`State folder ${folder} cannot be written.`, { cause })
  }
}

async function claimByFile(
  folder: string,
): Promise<{ name: string; release: () => Promise<void> }> {
  const name = `lock-${process.pid}-${(await startOfProcess(process.pid)) ?? 'unknown'}`
  const file = path.join(folder, name)
  try {
    await (await open(file, 'wx', 0o600)).close()
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') throw inUse(folder, String(process.pid))
    throw new StateError(`State folder ${folder} cannot be written.`, { cause })
  }
  return { name, release: () => rm(file, { force: true }) }
}

async function isHeld(
  folder: string,
  name: string,
  pid: number,
  start: string | undefined,
): Promise<boolean> {
  const found = await lstat(path.join(folder, name)).catch(() => undefined)
  if (found === undefined) return false
  return found.isSocket() ? isClaimed(folder, name) : isSameProcess(pid, start)
}

function inUse(folder: string, pid: string): StateError {
  return new StateError(
    `State folder ${folder} is in use by another server (process id ${pid}, as seen in its own container).`,
  )
}
