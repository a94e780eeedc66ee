/** Files of unknown contents: made anew, for this user alone, on a disk that has room for them. */
import { constants } from 'node:fs'
import { open, statfs } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { ServerError } from '../errors.ts'

const WRITE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** Makes a file of mode 0600 that does not exist yet, not even as a link. */
export function createPrivateFile(file: string): Promise<FileHandle> {
  return open(file, WRITE_FLAGS, 0o600)
}

/**
 * Checks that `bytes` more fit on the disk of `folder`.
 * @throws ServerError `InsufficientMemoryException` (507) when they do not.
 */
export async function checkFreeSpace(bytes: number, folder: string): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(folder)
  // Some file systems say nothing about their size.
  if (blocks > 0 && bytes > bavail * bsize) throw diskFull()
}

/** Whether a file system error says that the disk, or the share of this user, is full. */
export function isDiskFull(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** The error for a disk that is full. */
export function diskFull(cause?: unknown): ServerError {
  return new ServerError('InsufficientMemoryException', 'The disk is too full for the model.', {
    cause,
  })
}
