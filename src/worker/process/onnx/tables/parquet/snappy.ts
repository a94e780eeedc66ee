/** Decompresses a block of Snappy, the default of pandas for Parquet files. */
import { damaged } from './damage.ts'

const LITERAL = 0
/** Literals above this length have it in the next bytes. */
const MAX_SHORT_LITERAL = 60

/** @param size Length after decompression, which the page header says. */
export function decompressSnappy(input: Buffer, size: number): Buffer {
  const output = Buffer.allocUnsafe(size)
  let at = 0
  let written = 0
  const byte = (): number => {
    const value = input[at++]
    if (value === undefined) throw broken()
    return value
  }
  const little = (count: number): number => {
    let value = 0
    for (let index = 0; index < count; index++) value += byte() * 2 ** (8 * index)
    return value
  }
  // The length as a varint, which must be that of the page.
  let length = 0
  for (let shift = 0, more = true; more; shift += 7) {
    const value = byte()
    length += (value & 0x7f) * 2 ** shift
    more = value >= 0x80
    if (shift > 28) throw broken()
  }
  if (length !== size) throw broken()
  while (at < input.length) {
    const tag = byte()
    const kind = tag & 3
    if (kind === LITERAL) {
      const short = (tag >> 2) + 1
      const count = short > MAX_SHORT_LITERAL ? little(short - MAX_SHORT_LITERAL) + 1 : short
      if (count > input.length - at || count > size - written) throw broken()
      input.copy(output, written, at, at + count)
      at += count
      written += count
      continue
    }
    const count = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1
    const back = kind === 1 ? (tag >> 5) * 256 + byte() : little(kind === 2 ? 2 : 4)
    if (back === 0 || back > written || count > size - written) throw broken()
    // The copy may overlap with itself, so it goes byte by byte.
    for (const end = written + count; written < end; written++) {
      output[written] = output[written - back] ?? 0
    }
  }
  if (written !== size) throw broken()
  return output
}

function broken(): Error {
  return damaged('a page cannot be decompressed')
}
