/** CRC-32 of zip files and recordings. Node has it from 20.15 on; older versions use the table. */
import zlib from 'node:zlib'

const POLYNOMIAL = 0xedb88320

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1
  return value
})

/** Returns the CRC-32 of `bytes`, continued from the CRC-32 `before` of the preceding bytes. */
export function crc32OfTable(bytes: Uint8Array, before = 0): number {
  let value = ~before
  for (const byte of bytes) value = (TABLE[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8)
  return ~value >>> 0
}

/** Returns the CRC-32 of `bytes`, continued from the CRC-32 `before` of the preceding bytes. */
export const crc32: (bytes: Uint8Array, before?: number) => number =
  typeof zlib.crc32 === 'function' ? zlib.crc32 : crc32OfTable
