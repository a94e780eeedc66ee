/** One server for one state folder. */
import { open, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { codeOf, isSameProcess, startOfProcess } from '../process-identity.ts'
import { StateError } from './state-format.ts'

const CLAIM = /^lock-(\d+)-([0-9a-z.]+)$/

/**
 * A claim on a folder: an empty file named `lock-<pid>-<boot>.<start time>`. The name says who holds
 * it, so a claim is never half written, and one whose process is gone (or whose id belongs to another
 * process by now) is known to be stale for good. Processes of other containers are not seen.
 */
export class StateLock {
  readonly #file: string

  private constructor(file: string) {
    this.#file = file
  }

  /**
   * Claims the folder, then looks for other claims: of two servers that start together at least one
   * sees the other, so there are never two holders.
   * @throws StateError when another server holds the folder.
   */
  static async take(folder: string): Promise<StateLock> {
    const own = `lock-${process.pid}-${(await startOfProcess(process.pid)) ?? 'unknown'}`
    const file = path.join(folder, own)
    try {
      await (await open(file, 'wx', 0o600)).close()
    } catch (cause) {
      if (codeOf(cause) === 'EEXIST') throw inUse(folder, process.pid, file)
      throw new StateError(`State folder ${folder} cannot be written.`, { cause })
    }
    const lock = new StateLock(file)
    try {
      for (const name of await readdir(folder)) {
        const [, pid = '', start] = CLAIM.exec(name) ?? []
        if (name === own || pid === '') continue
        const claim = path.join(folder, name)
        if (await isSameProcess(Number(pid), start)) throw inUse(folder, Number(pid), claim)
        await rm(claim, { force: true })
      }
    } catch (error) {
      await lock.release()
      throw error
    }
    return lock
  }

  /** Gives the folder up. Safe to call again. */
  async release(): Promise<void> {
    await rm(this.#file, { force: true })
  }
}

function inUse(folder: string, pid: number, claim: string): StateError {
  return new StateError(
    `State folder ${folder} is in use by the server with process id ${pid}. ` +
      `If there is no such server, remove ${claim}.`,
  )
}
