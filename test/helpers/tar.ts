/** Writes valid tar files for tests, and files with a wrong value in any field. */

/** A header with its data. Absent fields get correct values. */
export interface TarEntry {
  readonly name: string | Buffer
  readonly data?: string | Buffer
  /** Type byte. The default is `0`, or `5` for a name that ends in a slash. */
  readonly type?: string
  readonly mode?: string
  /** The size field of twelve bytes, instead of the data's length in octal. */
  readonly size?: string | Buffer
  readonly linkName?: string
  readonly prefix?: string
  readonly magic?: string
  readonly checksum?: string
}

/** The end of a tar file. */
export const TAR_END = Buffer.alloc(1024)

/** The bytes of a tar file. */
export function tarOf(entries: readonly TarEntry[], end = TAR_END): Buffer {
  return Buffer.concat([...entries.map(writeEntry), end])
}

/** Records of a header extension (pax). */
export function paxRecords(...records: readonly (readonly [key: string, value: string])[]): string {
  return records
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`
      let length = Buffer.byteLength(rest) + 1
      while (Buffer.byteLength(`${length}${rest}`) !== length) length += 1
      return `${length}${rest}`
    })
    .join('')
}

function writeEntry(entry: TarEntry): Buffer {
  const name = Buffer.from(entry.name)
  const data = Buffer.from(entry.data ?? '')
  const isFolder = name.at(-1) === 0x2f
  const header = Buffer.alloc(512)
  name.copy(header, 0, 0, 100)
  header.write(entry.mode ?? '0000644\0', 100, 'latin1')
  header.write('0001750\x000001750\0', 108, 'latin1')
  const size = entry.size ?? `${data.length.toString(8).padStart(11, '0')}\0`
  Buffer.from(size).copy(header, 124, 0, 12)
  header.write('14712345671\0', 136, 'latin1')
  header.write('        ', 148, 'latin1')
  header.write(entry.type ?? (isFolder ? '5' : '0'), 156, 'latin1')
  header.write(entry.linkName ?? '', 157, 'latin1')
  header.write(entry.magic ?? 'ustar\x0000', 257, 'latin1')
  header.write('user', 265, 'latin1')
  header.write(entry.prefix ?? '', 345, 'latin1')
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(entry.checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)])
}
