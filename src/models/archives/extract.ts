/**
 * Unpacks model archives (`.mar`, `.zip`, `.tar.gz`). Any archive may be hostile. Every check that
 * is possible before the first byte is written runs before it; the others run while bytes stream.
 */
import { constants } from 'node:fs'
import { mkdir, open, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import { isInside } from '../../model-folder/read-inside.ts'
import { DEFAULT_ARCHIVE_LIMITS, archiveTooLarge, invalidArchive } from './limits.ts'
import type { ArchiveLimits } from './limits.ts'
import { checkFreeSpace, createPrivateFile, diskFull, isDiskFull } from './private-file.ts'
import { extractTarGz } from './tar.ts'
import { readRange, writeEntry } from './write-entry.ts'
import { readDirectory } from './zip-directory.ts'
import type { ArchiveEntry } from './zip-entry.ts'
import { readExactly } from './zip-reader.ts'

export { DEFAULT_ARCHIVE_LIMITS }
export type { ArchiveLimits }

/** Number of files written at the same time: a small file mostly waits for the file system. */
const LANES = 8
/** O_NONBLOCK: if the path is a FIFO, it is opened and rejected instead of blocking. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
/** The first bytes of every gzip stream. */
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b])

/**
 * Unpacks `file`, which must not be a link, into `destination`, a folder that must not exist yet.
 * The folder has mode 0700 and its files 0600, whatever the archive says. Only regular files with
 * one link are written, so external data of a model cannot be a link. Only the worker, which parses
 * the model, can check that the path of the data stays inside. After a failure the folder is
 * removed.
 * @param root Real path that must contain the file; `undefined` for no limit.
 * @throws ServerError `InvalidModelException` (form) or `PayloadTooLargeException` (size) that
 * names the entry; `InsufficientMemoryException` if the disk is full; the reason of `signal` if it
 * is aborted.
 */
export async function extractArchive(
  file: string,
  destination: string,
  limits: ArchiveLimits = DEFAULT_ARCHIVE_LIMITS,
  signal?: AbortSignal,
  root?: string,
): Promise<void> {
  const archive = await openArchive(file, root)
  try {
    const { size, isGzip } = await checkFile(archive, limits)
    if (isGzip) {
      const packed = readRange(archive, 0, size, signal)
      await fillFolder(destination, () => extractTarGz(packed, size, destination, limits))
    } else {
      const entries = await readDirectory(archive, size, limits)
      await checkSpace(entries, path.dirname(destination))
      const write: WriteEntry = (entry, target) => writeEntry(archive, entry, target, signal)
      await fillFolder(destination, () => writeEntries(entries, destination, write))
    }
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : asServerError(error)
  } finally {
    await archive.close()
  }
}

/**
 * Writes only the files of a zip archive that `isWanted` names. The others become empty blocks of
 * the right size, which need no space on the disk.
 * @returns The size of all files; `undefined` for a `.tar.gz`, which has no directory. Then nothing
 * is written.
 * @throws ServerError as {@link extractArchive}.
 */
export async function outlineArchive(
  file: string,
  destination: string,
  limits: ArchiveLimits,
  isWanted: (name: string) => boolean,
  root?: string,
): Promise<number | undefined> {
  const archive = await openArchive(file, root)
  try {
    const { size, isGzip } = await checkFile(archive, limits)
    if (isGzip) return undefined
    const entries = await readDirectory(archive, size, limits)
    const write: WriteEntry = async (entry, target) => {
      if (isWanted(entry.path)) return writeEntry(archive, entry, target, undefined)
      const empty = await createPrivateFile(target)
      try {
        await empty.truncate(entry.bytes)
      } finally {
        await empty.close()
      }
    }
    await fillFolder(destination, () => writeEntries(entries, destination, write))
    return bytesOf(entries)
  } catch (error) {
    throw asServerError(error)
  } finally {
    await archive.close()
  }
}

async function openArchive(file: string, root: string | undefined): Promise<FileHandle> {
  const archive = await open(file, READ_FLAGS).catch((error: unknown) => {
    throw invalidArchive('it cannot be opened', error)
  })
  // A folder of the path may have been replaced by a link.
  if (root === undefined || (await isInside(archive, file, root))) return archive
  await archive.close()
  throw invalidArchive('it points outside the model store')
}

/** Creates `folder`, and removes it if `fill` fails. */
async function fillFolder(folder: string, fill: () => Promise<void>): Promise<void> {
  await mkdir(folder, { mode: 0o700 })
  try {
    await fill()
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** Returns the size of the archive in bytes and its format. */
async function checkFile(
  archive: FileHandle,
  limits: ArchiveLimits,
): Promise<{ size: number; isGzip: boolean }> {
  const stats = await archive.stat()
  if (!stats.isFile()) throw invalidArchive('it is not a regular file')
  if (stats.size > limits.maxTotalBytes) {
    throw archiveTooLarge(`it is larger than ${limits.maxTotalBytes} bytes`)
  }
  const start = Buffer.alloc(Math.min(GZIP_MAGIC.length, stats.size))
  await readExactly(archive, start, 0)
  return { size: stats.size, isGzip: start.equals(GZIP_MAGIC) }
}

async function checkSpace(entries: readonly ArchiveEntry[], folder: string): Promise<void> {
  await checkFreeSpace(bytesOf(entries), folder)
}

function bytesOf(entries: readonly ArchiveEntry[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0)
}

type WriteEntry = (entry: ArchiveEntry, target: string) => Promise<void>

async function writeEntries(
  entries: readonly ArchiveEntry[],
  destination: string,
  write: WriteEntry,
): Promise<void> {
  const folders = new Set(
    entries.map(({ isFolder, path: name }) => (isFolder ? name : path.posix.dirname(name))),
  )
  for (const folder of folders) {
    await mkdir(path.join(destination, folder), { recursive: true, mode: 0o700 })
  }
  const files = entries.filter(({ isFolder }) => !isFolder).values()
  let hasFailed = false
  const lane = async (): Promise<void> => {
    for (const entry of files) {
      if (hasFailed) return
      await write(entry, path.join(destination, entry.path)).catch((error: unknown) => {
        hasFailed = true
        throw error
      })
    }
  }
  // Every lane must have ended before the caller may remove the folder.
  const lanes = await Promise.allSettled(Array.from({ length: LANES }, lane))
  const failure = lanes.find((result) => result.status === 'rejected')
  if (failure !== undefined) throw failure.reason
}

/** File system errors contain paths of this machine, so their texts stay in the cause. */
function asServerError(error: unknown): ServerError {
  if (error instanceof ServerError) return error
  if (isDiskFull(error)) return diskFull(error)
  return new ServerError('InternalServerException', 'The archive could not be unpacked.', {
    cause: error,
  })
}
