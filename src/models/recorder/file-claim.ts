/** Ensures that one server at a time writes a file. */
import { randomBytes } from 'node:crypto'
import { lstat, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import { ConfigError, fileProblem } from '../../errors.ts'
import { FolderClaim, isClaimed } from '../../system/folder-claim.ts'

/**
 * A claim on a file: a socket beside it, `.<name>.lock-<random>`, that this server listens on. The
 * kernel ends the claim with the process.
 */
export class FileClaim {
  readonly #socket: FolderClaim

  private constructor(socket: FolderClaim) {
    this.#socket = socket
  }

  /**
   * Claims the file, then looks for other claims. If two servers start together, at least one sees
   * the other, so never both have the file.
   * @throws ConfigError if another server has the file, or its folder cannot be used.
   */
  static async take(file: string): Promise<FileClaim> {
    const folder = path.dirname(file)
    const prefix = `.${path.basename(file)}.lock-`
    const own = `${prefix}${randomBytes(6).toString('hex')}`
    let socket: FolderClaim
    try {
      // Binding a socket does not say that the folder is missing.
      await lstat(folder)
      socket = await FolderClaim.make(folder, own)
    } catch (cause) {
      const problem = fileProblem(cause)
      throw new ConfigError(`Cannot record to ${file}: its folder: ${problem}.`, { cause })
    }
    try {
      for (const name of await readdir(folder)) {
        if (name === own || !name.startsWith(prefix)) continue
        if (!(await isOwnSocket(path.join(folder, name)))) continue
        if (await isClaimed(folder, name))
          throw new ConfigError(`Cannot record to ${file}: another server records to it.`)
        await rm(path.join(folder, name), { force: true })
      }
    } catch (error) {
      await socket.release()
      throw error
    }
    return new FileClaim(socket)
  }

  /** Makes the file available to another server. */
  release(): Promise<void> {
    return this.#socket.release()
  }
}

/** In a shared folder, another user must not be able to keep the server from starting. */
async function isOwnSocket(file: string): Promise<boolean> {
  const found = await lstat(file).catch(() => undefined)
  return found?.isSocket() === true && found.uid === process.geteuid?.()
}
