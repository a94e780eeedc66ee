/**
 * Reads uncompressed BMP files, which libvips cannot read: 1, 4 or 8 bits with a palette, 16, 24 or
 * 32 bits. Transparency is ignored, as in Pillow.
 */
import { ServerError } from '../../../../../errors.ts'
import type { Pixels } from './resample.ts'

const FILE_HEADER_BYTES = 14
/** Length of the first version of the header, with sides of 16 bits. */
const CORE_HEADER_BYTES = 12
const HEADER_BYTES: readonly number[] = [CORE_HEADER_BYTES, 40, 52, 56, 64, 108, 124]
const PALETTE_BITS: readonly number[] = [1, 4, 8]
const UNCOMPRESSED = 0
const BIT_FIELDS: readonly number[] = [3, 6]
/** Methods of compression that are not read. */
const METHODS: Readonly<Record<number, string>> = { 1: 'RLE', 2: 'RLE', 4: 'JPEG', 5: 'PNG' }
const RGB_CHANNELS = 3
const MASKS_OF_16_BITS = [0x7c00, 0x03e0, 0x001f] as const
const MASKS_OF_32_BITS = [0xff0000, 0xff00, 0xff] as const

/** The size of a BMP, and where its pixels are. */
export interface BmpHeader {
  readonly width: number
  readonly height: number
  readonly isTopDown: boolean
  readonly bits: number
  readonly dataStart: number
  /** Colours of a palette: blue, green, red, and with `colorBytes` 4 one unused byte. */
  readonly palette: Buffer
  readonly colorBytes: number
  /** Bits of red, green and blue in a pixel of 16 or 32 bits. */
  readonly masks: readonly number[]
}

/** Whether the bytes begin like a BMP. The two letters alone could also be a tensor. */
export function isBmp(bytes: Buffer): boolean {
  return (
    bytes[0] === 0x42 &&
    bytes[1] === 0x4d &&
    bytes.length >= FILE_HEADER_BYTES + CORE_HEADER_BYTES &&
    HEADER_BYTES.includes(bytes.readUInt32LE(FILE_HEADER_BYTES))
  )
}

/**
 * Reads the header and checks that all pixels are there. Call {@link isBmp} before.
 * @throws ServerError 400 for a damaged file, 415 for a compressed one.
 */
export function readBmpHeader(bytes: Buffer): BmpHeader {
  const length = bytes.readUInt32LE(FILE_HEADER_BYTES)
  if (bytes.length < FILE_HEADER_BYTES + length) throw damaged('its header is incomplete')
  const isCore = length === CORE_HEADER_BYTES
  const at = FILE_HEADER_BYTES + 4
  const width = isCore ? bytes.readUInt16LE(at) : bytes.readInt32LE(at)
  const signedHeight = isCore ? bytes.readInt16LE(at + 2) : bytes.readInt32LE(at + 4)
  const bits = bytes.readUInt16LE(isCore ? at + 6 : at + 10)
  const compression = isCore ? UNCOMPRESSED : bytes.readUInt32LE(at + 12)
  const height = Math.abs(signedHeight)
  if (width < 1 || height < 1) throw damaged(`it declares ${width}×${height} pixels`)
  checkKind(bits, compression)

  const hasMasks = BIT_FIELDS.includes(compression)
  const masksAt = FILE_HEADER_BYTES + 40
  if (hasMasks && bytes.length < masksAt + 12) throw damaged('its colour masks are missing')
  const masks = hasMasks
    ? [0, 4, 8].map((offset) => bytes.readUInt32LE(masksAt + offset))
    : bits === 16
      ? MASKS_OF_16_BITS
      : MASKS_OF_32_BITS
  const colorBytes = isCore ? 3 : 4
  const paletteAt = FILE_HEADER_BYTES + length
  const stated = isCore ? 0 : bytes.readUInt32LE(at + 28)
  const colors = PALETTE_BITS.includes(bits) ? Math.min(stated || 256, 2 ** bits) : 0
  const palette = bytes.subarray(paletteAt, paletteAt + colors * colorBytes)
  const dataStart = bytes.readUInt32LE(10)
  const header = {
    width,
    height,
    isTopDown: signedHeight < 0,
    bits,
    dataStart,
    palette,
    colorBytes,
    masks,
  }
  if (palette.length < colors * colorBytes || dataStart < paletteAt)
    throw damaged('its palette is incomplete')
  const missing = dataStart + rowBytes(header) * height - bytes.length
  if (missing > 0) throw damaged(`${missing} bytes of its pixels are missing`)
  return header
}

/** Returns the pixels as RGB. */
export function readBmpPixels(bytes: Buffer, header: BmpHeader): Pixels {
  const { width, height, isTopDown, bits, dataStart } = header
  const data = new Uint8Array(width * height * RGB_CHANNELS)
  const readRow = PALETTE_BITS.includes(bits)
    ? readIndexedRow
    : bits === 24
      ? readPlainRow
      : readMaskedRow
  const step = rowBytes(header)
  for (let row = 0; row < height; row++) {
    const from = dataStart + (isTopDown ? row : height - 1 - row) * step
    const into = data.subarray(row * width * RGB_CHANNELS, (row + 1) * width * RGB_CHANNELS)
    readRow(bytes.subarray(from, from + step), header, into)
  }
  return { data, width, height, channels: RGB_CHANNELS }
}

function checkKind(bits: number, compression: number): void {
  const isPlain = compression === UNCOMPRESSED && [...PALETTE_BITS, 16, 24, 32].includes(bits)
  if (isPlain || (BIT_FIELDS.includes(compression) && (bits === 16 || bits === 32))) return
  const method = METHODS[compression] ?? `method ${compression}`
  const problem =
    compression === UNCOMPRESSED
      ? `has ${bits} bits for each pixel, which is not supported`
      : `is compressed (${method}, ${bits} bits)`
  throw new ServerError(
    'UnsupportedMediaTypeException',
    `The BMP image ${problem}; send it as PNG.`,
  )
}

/** Rows are filled up to a multiple of four bytes. */
function rowBytes({ width, bits }: Pick<BmpHeader, 'width' | 'bits'>): number {
  return Math.ceil((width * bits) / 32) * 4
}

function readIndexedRow(row: Buffer, header: BmpHeader, into: Uint8Array): void {
  const { width, bits, palette, colorBytes } = header
  const mask = 2 ** bits - 1
  for (let column = 0; column < width; column++) {
    const bit = column * bits
    const index = ((row[bit >> 3] ?? 0) >> (8 - bits - (bit & 7))) & mask
    for (let channel = 0; channel < RGB_CHANNELS; channel++) {
      into[column * RGB_CHANNELS + channel] = palette[index * colorBytes + 2 - channel] ?? 0
    }
  }
}

function readPlainRow(row: Buffer, { width }: BmpHeader, into: Uint8Array): void {
  for (let at = 0; at < width * RGB_CHANNELS; at += RGB_CHANNELS) {
    into[at] = row[at + 2] ?? 0
    into[at + 1] = row[at + 1] ?? 0
    into[at + 2] = row[at] ?? 0
  }
}

function readMaskedRow(row: Buffer, { width, bits, masks }: BmpHeader, into: Uint8Array): void {
  const fields = masks.map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask)
    return { shift, maximum: mask >>> shift }
  })
  let at = 0
  for (let column = 0; column < width; column++) {
    const pixel = bits === 16 ? row.readUInt16LE(column * 2) : row.readUInt32LE(column * 4)
    for (const { shift, maximum } of fields) {
      // The sign of 32 bits is cut off.
      const value = ((pixel >>> shift) & maximum) >>> 0
      into[at++] = maximum === 0 ? 0 : Math.floor((value * 255) / maximum)
    }
  }
}

function damaged(problem: string): ServerError {
  return new ServerError('InvalidInputException', `The BMP image is damaged: ${problem}.`)
}
