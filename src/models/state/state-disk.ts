/**
 * Disk operations for the state file: reads with a size limit that follow no link, and copies that
 * survive a crash.
 */
import { constants } from 'node:fs'
import { copyFile, link, open, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { codeOf } from '../../system/process-identity.ts'
import { StateError } from './state-format.ts'

/** Much larger than any state, and small enough to read. */
export const MAX_STATE_BYTES = 16 * 1024 * 1024

/**
 * Returns the text of a file; `undefined` if it does not exist.
 * @throws StateError for a link, anything but a regular file, or a file that is too large or
 * unreadable.
 */
export async function readPlainFile(file: string): Promise<string | undefined> {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  let handle
  try {
    handle = await open(file, flags)
    const stats = await handle.stat()
    if (!stats.isFile()) throw new StateError(`${file} is not a regular file. Nothing was changed.`)
    if (stats.size > MAX_STATE_BYTES) {
      throw new StateError(
        `${file} has ${stats.size} bytes, more than the limit of ${MAX_STATE_BYTES}. Nothing was changed.`,
      )
    }
    return await handle.readFile('utf8')
  } catch (cause) {
    if (cause instanceof StateError) throw cause
    const code = codeOf(cause)
    if (code === 'ENOENT') return undefined
    const reason = code === 'ELOOP' ? 'is a symbolic link' : `cannot be read (${code ?? 'unknown'})`
    throw new StateError(`${file} ${reason}. Nothing was changed.`, { cause })
  } finally {
    await handle?.close()
  }
}

/**
 * Replaces `to` by a copy of `from`. At every moment `to` is either the complete old file or the
 * complete new one.
 */
export async function replaceByCopy(from: string, to: string): Promise<void> {
  const temporary = `${to}.new`
  await rm(temporary, { force: true })
  await linkOrCopy(from, temporary)
  await rename(temporary, to)
  // Renaming one hard link onto another of the same file does nothing and leaves both.
  await rm(temporary, { force: true })
}

/** Moves a file to the first free name of `stem.json`, `stem-2.json`, … and returns that name. */
export async function moveToFreeName(from: string, stem: string): Promise<string> {
  for (let count = 1; ; count++) {
    const to = `${stem}${count === 1 ? '' : `-${count}`}.json`
    try {
      await linkOrCopy(from, to)
    } catch (error) {
      if (codeOf(error) === 'EEXIST') continue
      throw error
    }
    await rm(from)
    return to
  }
}

/**
 * Makes changes of names in a folder durable. If the system cannot sync folders, this does nothing.
 */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } catch (error) {
    const code = codeOf(error)
    if (code !== 'EINVAL' && code !== 'ENOTSUP') throw error
  } finally {
    await handle.close()
  }
}

/**
 * Creates a hard link to a file, or a synced copy if the file system has no links. Fails if `to`
 * exists.
 */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EEXIST' || code === 'ENOENT') throw error
    await copyFile(from, to, constants.COPYFILE_EXCL)
    const copy = await open(to, 'r')
    try {
      await copy.sync()
    } finally {
      await copy.close()
    }
  }
}

/**
 * Whether a name is a temporary file of these files: onnxd's end in `.new`, those of
 * write-file-atomic in a number.
 */
export function isLeftover(name: string, files: readonly string[]): boolean {
  return files.some((file) => {
    const base = path.basename(file)
    return (
      name === `${base}.new` ||
      (name.startsWith(`${base}.`) && /^\d+$/.test(name.slice(base.length + 1)))
    )
  })
}
