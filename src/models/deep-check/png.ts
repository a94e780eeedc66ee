/** Writes a small image for models that take images. */
import { deflateSync } from 'node:zlib'
import { crc32 } from '../../formats/crc32.ts'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const BITS = 8
const RGB = 2

/** Returns a PNG file whose pixels come from `color`, a function of column, row and channel. */
export function pngOf(
  width: number,
  height: number,
  color: (x: number, y: number, channel: number) => number,
): Buffer {
  const lines = Buffer.alloc(height * (1 + width * 3))
  let at = 0
  for (let y = 0; y < height; y += 1) {
    // The byte in front of each row says that its pixels are not filtered.
    at += 1
    for (let x = 0; x < width; x += 1)
      for (let channel = 0; channel < 3; channel += 1) lines[at++] = color(x, y, channel)
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = BITS
  header[9] = RGB
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(lines)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type: string, data: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(named))
  return Buffer.concat([length, named, checksum])
}
