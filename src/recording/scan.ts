/** Finds the records of a file, also between damaged ones and while a server writes them. */
import type { FileHandle } from 'node:fs/promises'
import {
  HEADER_BYTES,
  MAX_RECORD_BYTES,
  RECORD_HEADER_BYTES,
  decodeRecordHeader,
  isIntact,
  padded,
  recordSize,
} from './format.ts'
import type { RecordHeader } from './format.ts'

/** A record and its place. */
export interface RecordPlace extends RecordHeader {
  readonly position: number
}

/** Bytes that are read at once. */
const WINDOW_BYTES = 1024 * 1024
const ALIGNMENT_MASK = 7

/** A part of a file, which moves towards the end. */
class FileWindow {
  readonly #handle: FileHandle
  #bytes: Buffer = Buffer.alloc(0)
  #start = 0

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  /** Returns the bytes from `position` on: at least `length`, or up to the end of the file. */
  async from(position: number, length: number): Promise<Buffer> {
    const offset = position - this.#start
    if (offset >= 0 && offset + length <= this.#bytes.length) return this.#bytes.subarray(offset)
    this.#bytes = await readAt(this.#handle, position, Math.max(length, WINDOW_BYTES))
    this.#start = position
    return this.#bytes
  }
}

/**
 * Returns the intact records, the oldest first.
 * @param size Size of the file.
 */
export async function scanRecords(
  handle: FileHandle,
  mark: Buffer,
  size: number,
): Promise<RecordPlace[]> {
  const window = new FileWindow(handle)
  const found: RecordPlace[] = []
  let position = HEADER_BYTES
  while (position + RECORD_HEADER_BYTES <= size) {
    const bytes = await window.from(position, RECORD_HEADER_BYTES)
    const index = bytes.indexOf(mark)
    if (index === -1) {
      // The last bytes may be the first ones of a mark.
      const skipped = Math.max(0, bytes.length - mark.length) & ~ALIGNMENT_MASK
      position += Math.max(mark.length, skipped)
      continue
    }
    const start = position + (index & ~ALIGNMENT_MASK)
    const record = (index & ALIGNMENT_MASK) === 0 ? await recordAt(window, start, size) : undefined
    if (record !== undefined) found.push(record)
    position = start + (record === undefined ? padded(1) : recordSize(record))
  }
  return inOrder(found)
}

/** Reads exactly `length` bytes, or fewer at the end of the file. */
export async function readAt(
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

async function recordAt(
  window: FileWindow,
  position: number,
  size: number,
): Promise<RecordPlace | undefined> {
  const header = await window.from(position, RECORD_HEADER_BYTES)
  if (header.length < RECORD_HEADER_BYTES) return undefined
  const record = decodeRecordHeader(header)
  const bytes = recordSize(record)
  if (bytes > MAX_RECORD_BYTES || position + bytes > size) return undefined
  const content = await window.from(position, bytes)
  return content.length >= bytes && isIntact(content, record) ? { ...record, position } : undefined
}

/**
 * Sorts records by number, each once, and leaves out those of an earlier round: a round ends before
 * the end of the file if its last record does not fit, and what the round before has written there
 * stays.
 */
function inOrder(found: readonly RecordPlace[]): RecordPlace[] {
  const newestFirst = found.toSorted((a, b) => b.sequence - a.sequence)
  let rounds = 1
  let after: RecordPlace | undefined
  const kept = newestFirst.filter((place) => {
    if (place.sequence === after?.sequence) return false
    if (after !== undefined && place.position > after.position) rounds += 1
    after = place
    return rounds <= 2
  })
  return kept.toReversed()
}
