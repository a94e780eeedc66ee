/** Checks one record of a zip file's directory: kind of file, flags, method, sizes. */
import type { Entry, LocalFileHeader } from 'yauzl'
import type { EntryName } from './entry-names.ts'
import { archiveTooLarge, invalidArchive, shownName } from './limits.ts'
import type { ArchiveLimits } from './limits.ts'

const FLAG_ENCRYPTED = 0x0001
const FLAG_DESCRIPTOR = 0x0008
/** This value means that the size is in the zip64 field. */
const ZIP64_MARK = 0xffffffff

const STORED = 0
const DEFLATED = 8

const TYPE_MASK = 0o170000
const TYPE_FOLDER = 0o040000
const TYPE_FILE = 0o100000
const SPECIAL_TYPES: Readonly<Record<number, string>> = {
  0o010000: 'a FIFO',
  0o020000: 'a character device',
  0o060000: 'a block device',
  0o120000: 'a symbolic link',
  0o140000: 'a socket',
}
const SET_ID_BITS = 0o6000

/** A file or folder of an archive, with everything needed to unpack it. */
export interface ArchiveEntry extends EntryName {
  readonly isDeflated: boolean
  readonly crc32: number
  readonly bytes: number
  readonly packedBytes: number
  /** Position of its local header in the archive. */
  readonly start: number
  /** Position of its packed bytes in the archive. */
  readonly dataStart: number
  /** Whether sizes and CRC-32 may be repeated after the data. */
  readonly mayHaveDescriptor: boolean
}

/**
 * Checks a record of the directory.
 * @throws ServerError `InvalidModelException`; `PayloadTooLargeException` for its ratio.
 */
export function checkRecord(record: Entry, name: EntryName, limits: ArchiveLimits): void {
  const problem = problemWith(record, name.isFolder)
  if (problem !== undefined) throw invalidArchive(`entry ${shownName(name.path)} ${problem}`)
  if (exceedsRatio(record.uncompressedSize, record.compressedSize, limits)) {
    throw archiveTooLarge(
      `entry ${shownName(name.path)} unpacks to more than ${limits.maxRatio} times its size`,
    )
  }
}

/**
 * Combines a record with the local header before the entry's data. Both must agree, otherwise other
 * readers would read other files.
 * @throws ServerError `InvalidModelException` if they differ.
 */
export function toEntry(record: Entry, name: EntryName, header: LocalFileHeader): ArchiveEntry {
  const mayHaveDescriptor = (header.generalPurposeBitFlag & FLAG_DESCRIPTOR) !== 0
  const sizesAgree =
    header.crc32 === record.crc32 &&
    [record.compressedSize, ZIP64_MARK].includes(header.compressedSize) &&
    [record.uncompressedSize, ZIP64_MARK].includes(header.uncompressedSize)
  const agrees =
    header.fileName.equals(record.fileNameRaw) &&
    header.compressionMethod === record.compressionMethod &&
    (header.generalPurposeBitFlag & FLAG_ENCRYPTED) === 0 &&
    (sizesAgree || mayHaveDescriptor)
  if (!agrees) {
    throw invalidArchive(
      `entry ${shownName(name.path)} has different headers in the central directory and before its data`,
    )
  }
  return {
    ...name,
    isDeflated: record.compressionMethod === DEFLATED,
    crc32: record.crc32,
    bytes: record.uncompressedSize,
    packedBytes: record.compressedSize,
    start: record.relativeOffsetOfLocalHeader,
    dataStart: header.fileDataStart,
    mayHaveDescriptor,
  }
}

/** Whether the ratio of unpacked to packed bytes is above the limit. */
export function exceedsRatio(bytes: number, packedBytes: number, limits: ArchiveLimits): boolean {
  return bytes > limits.ratioFreeBytes && bytes > packedBytes * limits.maxRatio
}

function problemWith(record: Entry, isFolder: boolean): string | undefined {
  // The Unix mode; zero for archives from systems without modes.
  const mode = record.externalFileAttributes >>> 16
  const type = mode & TYPE_MASK
  if (type !== 0 && type !== TYPE_FILE && type !== TYPE_FOLDER) {
    return `is ${SPECIAL_TYPES[type] ?? 'of an unknown type'}`
  }
  if (type === TYPE_FOLDER && !isFolder) return 'is a folder, but its name does not end in a slash'
  // Folders of a shared tree have the setgid bit. A file with it would be a program, which a model
  // does not need.
  if (!isFolder && (mode & SET_ID_BITS) !== 0) return 'is marked setuid or setgid'
  if ((record.generalPurposeBitFlag & FLAG_ENCRYPTED) !== 0) return 'is encrypted'
  const { compressionMethod, uncompressedSize, compressedSize } = record
  if (compressionMethod !== STORED && compressionMethod !== DEFLATED) {
    return `is compressed by method ${compressionMethod}; only stored and deflated are supported`
  }
  const sizes = [uncompressedSize, compressedSize, record.relativeOffsetOfLocalHeader]
  if (!sizes.every((size) => Number.isSafeInteger(size))) return 'has an invalid size'
  if (isFolder && uncompressedSize > 0) return 'is a folder with a file size'
  return undefined
}
