/** Writes BMP files of every kind that the image handler reads. */

/** How a BMP is written. */
export interface BmpSource {
  readonly width: number
  readonly height: number
  readonly bits: 1 | 4 | 8 | 16 | 24 | 32
  /** Rows of pixel values from the top: palette indices, or numbers of 16, 24 or 32 bits. */
  readonly rows: readonly (readonly number[])[]
  /** Colours of a palette as 0xRRGGBB. */
  readonly palette?: readonly number[]
  readonly isTopDown?: boolean
  /** Masks of red, green and blue. */
  readonly masks?: readonly [number, number, number]
  /** Method of compression; default 0, or 3 with masks. */
  readonly compression?: number
}

/** Returns the file. */
export function bmpFile(source: BmpSource): Buffer {
  const { width, height, bits, rows, palette = [], isTopDown = false, masks } = source
  const header = Buffer.alloc(40)
  header.writeUInt32LE(40, 0)
  header.writeInt32LE(width, 4)
  header.writeInt32LE(isTopDown ? -height : height, 8)
  header.writeUInt16LE(1, 12)
  header.writeUInt16LE(bits, 14)
  header.writeUInt32LE(source.compression ?? (masks ? 3 : 0), 16)
  header.writeUInt32LE(palette.length, 32)
  const ordered = isTopDown ? rows : rows.toReversed()
  const parts = [header, ...(masks ?? []).map(uint32), ...palette.map(uint32)]
  const start = parts.reduce((sum, part) => sum + part.length, 14)
  const data = ordered.map((row) => rowBytes(row, bits))
  const file = Buffer.concat([Buffer.alloc(14), ...parts, ...data])
  file.write('BM', 'latin1')
  file.writeUInt32LE(file.length, 2)
  file.writeUInt32LE(start, 10)
  return file
}

function rowBytes(row: readonly number[], bits: number): Buffer {
  const bytes = Buffer.alloc(Math.ceil((row.length * bits) / 32) * 4)
  for (const [column, value] of row.entries()) {
    const at = (column * bits) >> 3
    if (bits < 8)
      bytes.writeUInt8((bytes[at] ?? 0) | (value << (8 - bits - ((column * bits) & 7))), at)
    else bytes.writeUIntLE(value, at, bits / 8)
  }
  return bytes
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
