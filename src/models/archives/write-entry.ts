/** Writes one entry of a zip file to the disk. */
import { writeFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createInflateRaw } from 'node:zlib'
import { ServerError } from '../../errors.ts'
import { crc32 } from '../../formats/crc32.ts'
import { invalidArchive, shownName } from './limits.ts'
import { createPrivateFile } from './private-file.ts'
import type { ArchiveEntry } from './zip-entry.ts'
import { readExactly } from './zip-reader.ts'

const CHUNK_BYTES = 256 * 1024

/**
 * Writes an entry into a new private file, and checks its size and CRC-32.
 * @throws ServerError `InvalidModelException`; the reason of `signal` if it is aborted.
 */
export async function writeEntry(
  archive: FileHandle,
  entry: ArchiveEntry,
  target: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted()
  const file = await createPrivateFile(target)
  try {
    const packed = readRange(archive, entry.dataStart, entry.packedBytes, signal)
    if (entry.isDeflated) await inflate(packed, entry, file)
    else await writeFile(file, verified(packed, entry))
  } finally {
    await file.close()
  }
}

async function inflate(
  packed: AsyncIterable<Buffer>,
  entry: ArchiveEntry,
  file: FileHandle,
): Promise<void> {
  const inflater = createInflateRaw({ chunkSize: Math.min(CHUNK_BYTES, Math.max(64, entry.bytes)) })
  try {
    await pipeline(packed, inflater, (chunks: AsyncIterable<Buffer>) =>
      writeFile(file, verified(chunks, entry)),
    )
  } catch (error) {
    if (error instanceof ServerError || isSystemError(error)) throw error
    throw invalidEntry(entry, 'is not a complete deflate stream', error)
  }
  if (inflater.bytesWritten !== entry.packedBytes) {
    throw invalidEntry(entry, 'is not a complete deflate stream')
  }
}

/** Reads a part of an archive in chunks. */
export async function* readRange(
  file: FileHandle,
  start: number,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  let done = 0
  while (done < length) {
    signal?.throwIfAborted()
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, length - done))
    await readExactly(file, chunk, start + done)
    done += chunk.length
    yield chunk
  }
}

/** Passes on an entry's bytes up to its size, and checks size and CRC-32 at the end. */
async function* verified(
  chunks: AsyncIterable<Buffer>,
  entry: ArchiveEntry,
): AsyncGenerator<Buffer> {
  let bytes = 0
  let checksum = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > entry.bytes)
      throw invalidEntry(entry, `unpacks to more than the ${entry.bytes} bytes in its header`)
    checksum = crc32(chunk, checksum)
    yield chunk
  }
  if (bytes < entry.bytes)
    throw invalidEntry(
      entry,
      `unpacks to ${bytes} bytes instead of the ${entry.bytes} bytes in its header`,
    )
  if (checksum !== entry.crc32) throw invalidEntry(entry, 'does not match its CRC-32 checksum')
}

function invalidEntry(entry: ArchiveEntry, problem: string, cause?: unknown): ServerError {
  return invalidArchive(`entry ${shownName(entry.path)} ${problem}`, cause)
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}
