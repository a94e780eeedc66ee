/** Writes valid zip files for tests, and files with a wrong value in any field. */
import { deflateRawSync } from 'node:zlib'
import { crc32OfTable } from '../../src/formats/crc32.ts'

/** An entry. Absent fields get correct values. */
export interface ZipEntry {
  readonly name: string | Buffer
  readonly data?: string | Buffer
  readonly isStored?: boolean
  /**
   * Unix mode with type bits. The default is a regular file with mode 0644, or a folder with 0755.
   */
  readonly mode?: number
  readonly method?: number
  readonly flags?: number
  readonly crc32?: number
  readonly bytes?: number
  readonly packedBytes?: number
  /** The bytes in the archive, instead of the deflated or stored data. */
  readonly packed?: Buffer
  /** Sizes and CRC-32 follow the data, and the local header has zeros. */
  readonly hasDescriptor?: boolean
  readonly localName?: string
  readonly extra?: Buffer
  readonly localExtra?: Buffer
  /** Offset in the central directory, instead of the entry's real offset. */
  readonly start?: number
}

/** Values of the end record that replace the correct ones. */
export interface ZipOptions {
  readonly count?: number
  readonly comment?: Buffer
  readonly directoryStart?: number
  /** Bytes between the last entry and the central directory. */
  readonly gap?: Buffer
  /** Writes zip64 end records. Absent fields get correct values. */
  readonly zip64?: {
    readonly count?: bigint
    readonly directoryStart?: bigint
    readonly recordStart?: bigint
  }
}

const DESCRIPTOR_FLAG = 0x0008
const UTF8_FLAG = 0x0800

/** The bytes of a zip file. */
export function zipOf(entries: readonly ZipEntry[], options: ZipOptions = {}): Buffer {
  const locals: Buffer[] = []
  const records: Buffer[] = []
  let offset = 0
  for (const entry of entries) {
    const { local, record } = writeEntry(entry, offset)
    locals.push(local)
    records.push(record)
    offset += local.length
  }
  if (options.gap !== undefined) {
    locals.push(options.gap)
    offset += options.gap.length
  }
  const directory = Buffer.concat(records)
  const end = writeEnd(entries.length, offset, directory.length, options)
  return Buffer.concat([...locals, directory, end])
}

/** The zip64 field of a directory record: 64-bit sizes and offset, in that order. */
export function zip64Extra(...values: bigint[]): Buffer {
  const extra = Buffer.alloc(4 + values.length * 8)
  extra.writeUInt16LE(1, 0)
  extra.writeUInt16LE(values.length * 8, 2)
  for (const [index, value] of values.entries()) extra.writeBigUInt64LE(value, 4 + index * 8)
  return extra
}

function writeEntry(entry: ZipEntry, offset: number): { local: Buffer; record: Buffer } {
  const name = Buffer.from(entry.name)
  const data = Buffer.from(entry.data ?? '')
  const isFolder = name.at(-1) === 0x2f
  const isStored = entry.isStored ?? data.length === 0
  const packed = entry.packed ?? (isStored ? data : deflateRawSync(data))
  const flags = (entry.flags ?? UTF8_FLAG) | (entry.hasDescriptor === true ? DESCRIPTOR_FLAG : 0)
  const method = entry.method ?? (isStored ? 0 : 8)
  const crc32 = entry.crc32 ?? crc32OfTable(data)
  const packedBytes = entry.packedBytes ?? packed.length
  const bytes = entry.bytes ?? data.length
  const mode = entry.mode ?? (isFolder ? 0o040755 : 0o100644)

  const common = Buffer.alloc(26)
  common.writeUInt16LE(20, 0)
  common.writeUInt16LE(flags, 2)
  common.writeUInt16LE(method, 4)
  common.writeUInt32LE(crc32, 10)
  common.writeUInt32LE(packedBytes, 14)
  common.writeUInt32LE(bytes, 18)
  common.writeUInt16LE(name.length, 22)
  common.writeUInt16LE(entry.extra?.length ?? 0, 24)

  const localName = entry.localName === undefined ? name : Buffer.from(entry.localName)
  const localExtra = entry.localExtra ?? entry.extra ?? Buffer.alloc(0)
  const localCommon = Buffer.from(common)
  if (entry.hasDescriptor === true) localCommon.fill(0, 10, 22)
  localCommon.writeUInt16LE(localName.length, 22)
  localCommon.writeUInt16LE(localExtra.length, 24)
  const descriptor =
    entry.hasDescriptor === true ? [Buffer.from('PK\x07\x08'), common.subarray(10, 22)] : []
  const local = Buffer.concat([
    Buffer.from('PK\x03\x04'),
    localCommon,
    localName,
    localExtra,
    packed,
    ...descriptor,
  ])

  const rest = Buffer.alloc(14)
  rest.writeUInt32LE((mode << 16) >>> 0, 6)
  rest.writeUInt32LE(entry.start ?? offset, 10)
  const madeByUnix = Buffer.from([20, 3])
  const record = Buffer.concat([
    Buffer.from('PK\x01\x02'),
    madeByUnix,
    common,
    rest,
    name,
    entry.extra ?? Buffer.alloc(0),
  ])
  return { local, record }
}

function writeEnd(count: number, start: number, length: number, options: ZipOptions): Buffer {
  const comment = options.comment ?? Buffer.alloc(0)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(options.count ?? count, 8)
  end.writeUInt16LE(options.count ?? count, 10)
  end.writeUInt32LE(length, 12)
  end.writeUInt32LE(options.directoryStart ?? start, 16)
  end.writeUInt16LE(comment.length, 20)
  const zip64 = options.zip64 && writeZip64End(count, start, length, options.zip64)
  return Buffer.concat([zip64 ?? Buffer.alloc(0), end, comment])
}

function writeZip64End(
  count: number,
  start: number,
  length: number,
  lies: NonNullable<ZipOptions['zip64']>,
): Buffer {
  const end = Buffer.alloc(76)
  end.write('PK\x06\x06', 'latin1')
  end.writeBigUInt64LE(44n, 4)
  end.writeUInt16LE(45, 12)
  end.writeUInt16LE(45, 14)
  end.writeBigUInt64LE(lies.count ?? BigInt(count), 24)
  end.writeBigUInt64LE(lies.count ?? BigInt(count), 32)
  end.writeBigUInt64LE(BigInt(length), 40)
  end.writeBigUInt64LE(lies.directoryStart ?? BigInt(start), 48)
  end.write('PK\x06\x07', 56, 'latin1')
  end.writeBigUInt64LE(lies.recordStart ?? BigInt(start + length), 64)
  end.writeUInt32LE(1, 72)
  return end
}
