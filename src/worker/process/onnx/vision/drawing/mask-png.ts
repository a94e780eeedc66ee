/** Writes a mask as a PNG whose pixels are class numbers, with a palette to look at. */
import { deflateSync } from 'node:zlib'
import type { Mask } from '../segmentation.ts'
import { BLACK, colorOf } from './colors.ts'
import type { Color } from './colors.ts'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const PALETTE_SIZE = 256
/** Fast: masks have long runs of equal pixels. */
const COMPRESSION = { level: 4 }

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xed_b8_83_20 ^ (value >>> 1) : value >>> 1
  return value >>> 0
})

/** The color of a class in a mask; black for the background. */
export function maskColor(index: number, hasBackground: boolean): Color {
  if (!hasBackground) return colorOf(index)
  return index === 0 ? BLACK : colorOf(index - 1)
}

/** The bytes of the PNG: 8 bits for each pixel, with the number of the class as its value. */
export function maskPng({ width, height, classes }: Mask, hasBackground: boolean): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 3, 0, 0, 0], 8)
  const palette = Array.from({ length: PALETTE_SIZE }, (_, index) =>
    maskColor(index, hasBackground),
  )
  // Each row begins with the number of its filter; 0 is none.
  const rows = Buffer.alloc((width + 1) * height)
  for (let row = 0; row < height; row++) {
    rows.set(classes.subarray(row * width, (row + 1) * width), row * (width + 1) + 1)
  }
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flat())),
    chunk('IDAT', deflateSync(rows, COMPRESSION)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type: string, data: Buffer): Buffer {
  const content = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const framed = Buffer.alloc(content.length + 8)
  framed.writeUInt32BE(data.length, 0)
  framed.set(content, 4)
  framed.writeUInt32BE(crcOf(content), content.length + 4)
  return framed
}

function crcOf(bytes: Buffer): number {
  let crc = 0xff_ff_ff_ff
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8)
  return (crc ^ 0xff_ff_ff_ff) >>> 0
}
