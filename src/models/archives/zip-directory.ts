/**
 * Reads and checks the whole directory of a zip file before anything is written. yauzl parses the
 * records; this file rejects what yauzl accepts: links, devices, equal names, overlaps, too many
 * entries, too high ratios.
 */
import assert from 'node:assert/strict'
import { fromRandomAccessReader } from 'yauzl'
import type { Entry, ZipFile } from 'yauzl'
import { ServerError } from '../../errors.ts'
import { EntryNames } from './entry-names.ts'
import type { EntryName } from './entry-names.ts'
import { archiveTooLarge, invalidArchive, shownName } from './limits.ts'
import type { ArchiveLimits } from './limits.ts'
import { checkRecord, exceedsRatio, toEntry } from './zip-entry.ts'
import type { ArchiveEntry } from './zip-entry.ts'
import { ArchiveReader } from './zip-reader.ts'
import type { ByteSource } from './zip-reader.ts'

const MAX_DIRECTORY_BYTES = 64 * 1024 * 1024
const END_RECORD_BYTES = 22
/** Zip64's end record and its locator, which precede the end record of large archives. */
const ZIP64_END_BYTES = 56 + 20
/** Signature, CRC-32 and two 64-bit sizes. */
const MAX_DESCRIPTOR_BYTES = 24

/**
 * Reads the directory of an archive of `size` bytes.
 * @throws ServerError `InvalidModelException` or `PayloadTooLargeException` that names the entry
 * and the reason.
 */
export async function readDirectory(
  archive: ByteSource,
  size: number,
  limits: ArchiveLimits,
): Promise<ArchiveEntry[]> {
  try {
    return await readEntries(await openZip(new ArchiveReader(archive, size), size), size, limits)
  } catch (error) {
    if (error instanceof ServerError) throw error
    const reason = error instanceof Error ? error.message.replace(/\.$/, '') : 'unknown reason'
    throw invalidArchive(`it is not a valid zip file: ${reason}`, error)
  }
}

function openZip(reader: ArchiveReader, size: number): Promise<ZipFile> {
  // Names stay bytes: yauzl's own decoding would reject invalid ones without naming the entry.
  const options = { lazyEntries: true, autoClose: false, decodeStrings: false }
  return new Promise((resolve, reject) => {
    fromRandomAccessReader(reader, size, options, (error, zip) => {
      if (error) reject(error)
      else resolve(zip)
    })
  })
}

async function readEntries(
  zip: ZipFile,
  size: number,
  limits: ArchiveLimits,
): Promise<ArchiveEntry[]> {
  const directoryStart = directoryPosition(zip)
  if (zip.entryCount > limits.maxEntries) {
    throw invalidArchive(
      `it has ${zip.entryCount} entries; at most ${limits.maxEntries} are allowed`,
    )
  }
  if (zip.entryCount === 0) throw invalidArchive('it is empty')
  if (size - directoryStart > MAX_DIRECTORY_BYTES) {
    throw invalidArchive('its central directory is larger than 64 MiB')
  }
  const records = await readRecords(zip, size, limits)
  checkEnd(directoryPosition(zip), size - END_RECORD_BYTES - zip.comment.length)
  const entries: ArchiveEntry[] = []
  for (const { record, name } of records) {
    entries.push(toEntry(record, name, await zip.readLocalFileHeaderPromise(record)))
  }
  checkLayout(entries, directoryStart)
  return entries
}

/**
 * Reads only the directory's records. Reading the entries' own headers in between would make the
 * reader's block useless.
 */
async function readRecords(
  zip: ZipFile,
  size: number,
  limits: ArchiveLimits,
): Promise<{ record: Entry; name: EntryName }[]> {
  const names = new EntryNames(limits)
  const records: { record: Entry; name: EntryName }[] = []
  let totalBytes = 0
  for await (const record of zip.eachEntry()) {
    const name = names.add(record.fileNameRaw)
    checkRecord(record, name, limits)
    totalBytes += record.uncompressedSize
    if (totalBytes > limits.maxTotalBytes) {
      throw archiveTooLarge(`its files are larger than ${limits.maxTotalBytes} bytes together`)
    }
    if (exceedsRatio(totalBytes, size, limits)) {
      throw archiveTooLarge(`it unpacks to more than ${limits.maxRatio} times its size`)
    }
    records.push({ record, name })
  }
  return records
}

/**
 * Returns yauzl's position in the directory: the start before the first record, the end after the
 * last.
 */
function directoryPosition(zip: ZipFile): number {
  // yauzl's type declarations give this number the type boolean.
  const position: unknown = zip.readEntryCursor
  assert(typeof position === 'number')
  return position
}

/** If the directory ends before the end record, it has more entries than it declares. */
function checkEnd(directoryEnd: number, endRecord: number): void {
  const between = endRecord - directoryEnd
  if (between !== 0 && between !== ZIP64_END_BYTES) {
    throw invalidArchive('its central directory does not end after its last entry')
  }
}

/**
 * Checks that the entries lie one after another from the first byte to the directory. So entries
 * cannot overlap, and no second archive can hide in gaps or in the comment.
 */
function checkLayout(entries: readonly ArchiveEntry[], directoryStart: number): void {
  let end = 0
  let previous: ArchiveEntry | undefined
  for (const entry of entries.toSorted((a, b) => a.start - b.start)) {
    checkPosition(previous, end, entry.start)
    previous = entry
    end = entry.dataStart + entry.packedBytes
  }
  checkPosition(previous, end, directoryStart)
}

function checkPosition(previous: ArchiveEntry | undefined, end: number, next: number): void {
  if (next < end) {
    throw invalidArchive(
      `entry ${shownName(previous?.path ?? '')} overlaps the data that follows it`,
    )
  }
  const allowed = previous?.mayHaveDescriptor === true ? MAX_DESCRIPTOR_BYTES : 0
  if (next - end > allowed) throw invalidArchive('it has data that belongs to no entry')
}
