/** The file that a recorder writes: private, of one server, and never larger than its bound. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import process from 'node:process'
import { ConfigError, fileProblem } from '../../errors.ts'
import type { RecordedDescription } from '../../recording/description.ts'
import {
  HEADER_BYTES,
  MAX_RECORD_BYTES,
  encodeHeader,
  encodeRecord,
  newHeader,
  recordSize,
} from '../../recording/format.ts'
import type { FileHeader } from '../../recording/format.ts'
import { readHeader } from '../../recording/recording.ts'
import { readAt, scanRecords } from '../../recording/scan.ts'
import { codeOf } from '../../system/process-identity.ts'
import { FileClaim } from './file-claim.ts'

const MIB = 1024 * 1024
const PRIVATE_MODE = 0o600
const OTHERS = 0o077
/** One record takes at most this part of the file, so that several fit. */
const SHARE_OF_RECORD = 0.25
/** Smaller pieces are copied into one write. */
const SMALL_BYTES = 64 * 1024

/** A request that is ready to be written. */
export interface FinishedRequest {
  readonly description: RecordedDescription
  readonly request: readonly Buffer[]
  readonly response: Buffer
}

/** An open file of recorded requests. */
export class RingFile {
  /** Maximum size of a record. */
  readonly maxRecordBytes: number
  readonly #handle: FileHandle
  readonly #claim: FileClaim
  readonly #header: FileHeader
  #position: number
  #sequence: number

  private constructor(
    handle: FileHandle,
    claim: FileClaim,
    header: FileHeader,
    last: { readonly position: number; readonly sequence: number },
  ) {
    this.#handle = handle
    this.#claim = claim
    this.#header = header
    this.#position = last.position
    this.#sequence = last.sequence
    this.maxRecordBytes = Math.min(header.capacity * SHARE_OF_RECORD, MAX_RECORD_BYTES)
  }

  /**
   * Opens the file and continues the recording in it, or creates it.
   * @throws ConfigError if it is not a private file of this user, not a recording, or one of
   * another size, or if another server writes it. Then it is not changed.
   */
  static async open(file: string, mib: number): Promise<RingFile> {
    const location = path.resolve(file)
    const claim = await FileClaim.take(location)
    let handle: FileHandle | undefined
    try {
      handle = await openPrivately(location)
      const header = await headerOf(handle, location, mib * MIB)
      const places = await scanRecords(handle, header.mark, (await handle.stat()).size)
      const last = places.at(-1)
      return new RingFile(handle, claim, header, {
        position: last === undefined ? HEADER_BYTES : last.position + recordSize(last),
        sequence: last?.sequence ?? 0,
      })
    } catch (error) {
      await handle?.close()
      await claim.release()
      throw error
    }
  }

  /**
   * Writes records over the oldest ones, and returns their number; records that are too large are
   * left out. If it fails, the next records go to the same place.
   * @throws Error of the file system.
   */
  async write(requests: readonly FinishedRequest[]): Promise<number> {
    const { mark, capacity } = this.#header
    let sequence = this.#sequence
    let end = this.#position
    let start = end
    let pieces: Buffer[] = []
    const flush = async (): Promise<void> => {
      let position = start
      for (const piece of joined(pieces)) {
        await writeAll(this.#handle, piece, position)
        position += piece.length
      }
      pieces = []
    }
    for (const { description, request, response } of requests) {
      const record = encodeRecord(mark, sequence + 1, description, { request, response })
      const bytes = record.reduce((sum, { length }) => sum + length, 0)
      if (bytes > this.maxRecordBytes) continue
      if (end + bytes > capacity) {
        await flush()
        start = HEADER_BYTES
        end = HEADER_BYTES
      }
      pieces.push(...record)
      end += bytes
      sequence += 1
    }
    await flush()
    const written = sequence - this.#sequence
    this.#position = end
    this.#sequence = sequence
    return written
  }

  async close(): Promise<void> {
    await this.#handle.close()
    await this.#claim.release()
  }
}

/** @throws ConfigError for a link, a file of another user, or anything but a regular file. */
async function openPrivately(file: string): Promise<FileHandle> {
  let handle: FileHandle
  try {
    handle = await openOrCreate(file)
  } catch (cause) {
    const isLink = codeOf(cause) === 'ELOOP'
    const problem = isLink ? 'it is a symbolic link' : fileProblem(cause)
    throw new ConfigError(`Cannot record to ${file}: ${problem}.`, { cause })
  }
  try {
    const stats = await handle.stat()
    const refuse = (problem: string): ConfigError =>
      new ConfigError(`Cannot record to ${file}: ${problem}.`)
    if (!stats.isFile()) throw refuse('it is not a regular file')
    if (stats.uid !== process.geteuid?.()) throw refuse('it belongs to another user')
    if (stats.nlink > 1) throw refuse('it has several names (hard links)')
    if ((stats.mode & OTHERS) !== 0) await handle.chmod(PRIVATE_MODE)
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** An existing file is opened without O_CREAT: in a shared folder the kernel would refuse that. */
async function openOrCreate(file: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    return await open(file, flags)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    return open(file, flags | constants.O_CREAT | constants.O_EXCL, PRIVATE_MODE)
  }
}

/** @throws ConfigError if the file is not a recording of this size. */
async function headerOf(handle: FileHandle, file: string, capacity: number): Promise<FileHeader> {
  const bytes = await readAt(handle, 0, HEADER_BYTES)
  if (bytes.length > 0) {
    const header = readHeader(file, bytes)
    if (header.capacity === capacity) return header
    const mib = header.capacity / MIB
    throw new ConfigError(
      `${file} is a recording of ${mib} MiB. Set --record-mib ${mib} to continue it, or remove the file.`,
    )
  }
  const header = newHeader(capacity)
  try {
    await writeAll(handle, encodeHeader(header), 0)
  } catch (cause) {
    throw new ConfigError(`Cannot record to ${file}: ${fileProblem(cause)}.`, { cause })
  }
  return header
}

/** Large pieces are not copied; small neighbours are written together. */
function joined(pieces: readonly Buffer[]): Buffer[] {
  const result: Buffer[] = []
  let small: Buffer[] = []
  const flush = (): void => {
    if (small.length > 0) result.push(Buffer.concat(small))
    small = []
  }
  for (const piece of pieces) {
    if (piece.length < SMALL_BYTES) small.push(piece)
    else {
      flush()
      result.push(piece)
    }
  }
  flush()
  return result
}

async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, written, undefined, position + written)
    written += bytesWritten
  }
}
