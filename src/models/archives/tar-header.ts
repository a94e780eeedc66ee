/**
 * Parses one header block of a tar file. It accepts only what archivers of models write. Every
 * unclear field is rejected, because another reader might read another file.
 *
 *     name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1 | link name 100
 *     magic 8 | user 32 | group 32 | device 16 | prefix 155 (POSIX) | padding
 */
import { invalidArchive, shownName } from './limits.ts'

export const TAR_BLOCK_BYTES = 512

const CHECKSUM_START = 148
const CHECKSUM_END = 156
const TYPE_AT = 156
const MAGIC_POSIX = Buffer.from('ustar\x0000', 'latin1')
const MAGIC_GNU = Buffer.from('ustar  \0', 'latin1')
const SPACE = 0x20
const SET_ID_BITS = 0o6000

/** Kinds of header by type byte. The long name and the extensions describe the next entry. */
const KINDS: Readonly<Record<string, TarKind>> = {
  '0': 'file',
  '\0': 'file',
  '5': 'folder',
  L: 'long-name',
  x: 'extension',
  g: 'global-extension',
}
const REFUSED_KINDS: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a character device',
  '4': 'a block device',
  '6': 'a FIFO',
  K: 'a link',
  S: 'a sparse file',
}

export type TarKind = 'file' | 'folder' | 'long-name' | 'extension' | 'global-extension'

/** A header that is allowed in a model archive. */
export interface TarHeader {
  readonly kind: TarKind
  /** As written, with the prefix; UTF-8 only by convention. */
  readonly name: Buffer
  /** Bytes of the data after the header. */
  readonly bytes: number
}

/**
 * @throws ServerError `InvalidModelException` if `block` is not a header, or is one of a rejected
 * entry.
 */
export function parseTarHeader(block: Buffer): TarHeader {
  const magic = block.subarray(257, 265)
  const isPosix = magic.equals(MAGIC_POSIX)
  if (!isPosix && !magic.equals(MAGIC_GNU)) throw invalidArchive('it is not a tar file')
  if (octal(block, CHECKSUM_START, CHECKSUM_END) !== checksumOf(block)) {
    throw invalidArchive('it has a header with a wrong checksum')
  }
  const prefix = isPosix ? text(block, 345, 500) : Buffer.alloc(0)
  const ownName = text(block, 0, 100)
  const name = prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), ownName]) : ownName
  const refuse = (problem: string): Error =>
    invalidArchive(`entry ${shownName(name.toString('utf8'))} ${problem}`)

  const type = String.fromCharCode(block[TYPE_AT] ?? 0)
  const kind = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined
  if (kind === undefined) throw refuse(`is ${REFUSED_KINDS[type] ?? 'of an unknown type'}`)
  const bytes = octal(block, 124, 136)
  if (bytes === undefined) throw refuse('has an invalid size')
  const mode = octal(block, 100, 108)
  if (mode === undefined) throw refuse('has an invalid mode')
  // Folders of a shared tree have the setgid bit. A file with it would be a program, which a model
  // does not need.
  if (kind === 'file' && (mode & SET_ID_BITS) !== 0) throw refuse('is marked setuid or setgid')
  if (kind === 'folder' && bytes > 0) throw refuse('is a folder with a file size')
  return { kind, name, bytes }
}

/** Returns the bytes up to the first NUL. */
function text(block: Buffer, start: number, end: number): Buffer {
  const field = block.subarray(start, end)
  const length = field.indexOf(0)
  return length === -1 ? field : field.subarray(0, length)
}

/**
 * Reads an octal number; `undefined` for anything else, such as GNU's binary numbers (sizes of 8
 * GiB and more).
 */
function octal(block: Buffer, start: number, end: number): number | undefined {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(block.toString('latin1', start, end))?.[1]
  return digits === undefined ? undefined : Number.parseInt(digits, 8)
}

/** Returns the sum of the bytes, with the checksum's own bytes counted as spaces. */
function checksumOf(block: Buffer): number {
  let sum = (CHECKSUM_END - CHECKSUM_START) * SPACE
  for (const [index, byte] of block.entries()) {
    if (index < CHECKSUM_START || index >= CHECKSUM_END) sum += byte
  }
  return sum
}
