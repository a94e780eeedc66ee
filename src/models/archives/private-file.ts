/**
 * Creates files for content of unknown origin: new, for this user only, on a disk with enough
 * space.
 */
import { constants } from 'node:fs'
import { mkdir, open, statfs } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { ServerError } from '../../errors.ts'
import { codeOf } from '../../system/process-identity.ts'

const WRITE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/**
 * Creates a folder for this user only, if it is missing.
 * @throws ServerError `InsufficientMemoryException` (507) if it cannot be created.
 */
export async function makePrivateFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
  } catch (cause) {
    // Node may report ENOENT for a read-only file system.
    const code = codeOf(cause) ?? 'unknown reason'
    const text = `The folder for the model cannot be created (${code}): the disk may be full or read-only.`
    throw new ServerError('InsufficientMemoryException', text, { cause })
  }
}

/** Creates a file of mode 0600. It must not exist yet, not even as a link. */
export function createPrivateFile(file: string): Promise<FileHandle> {
  return open(file, WRITE_FLAGS, 0o600)
}

/**
 * Checks that `bytes` more fit on the disk of `folder`.
 * @throws ServerError `InsufficientMemoryException` (507) if they do not.
 */
export async function checkFreeSpace(bytes: number, folder: string): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(folder)
  // Some file systems do not report their size.
  if (blocks > 0 && bytes > bavail * bsize) throw diskFull()
}

/** Texts for a disk that accepts no more data, by system error code. */
const FULL: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', 'The disk has not enough free space for the model.'],
  ['EDQUOT', 'The disk has not enough free space for the model.'],
  ['EFBIG', 'The model is larger than the file size limit of the server process (ulimit -f).'],
  ['EROFS', 'The model cannot be stored: the file system is read-only.'],
])

/** Whether a file system error says that the disk, or this user's quota, accepts no more data. */
export function isDiskFull(error: unknown): boolean {
  return FULL.has(codeOf(error) ?? '')
}

/** The error for a disk that accepts no more data. */
export function diskFull(cause?: unknown): ServerError {
  const text =
    FULL.get(codeOf(cause) ?? 'ENOSPC') ?? 'The disk has not enough free space for the model.'
  return new ServerError('InsufficientMemoryException', text, { cause })
}
