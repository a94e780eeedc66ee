/**
 * Detects the format of an image by its first bytes, because declared media types are often missing
 * or wrong.
 */

import { isBmp } from './pixels/bmp.ts'

/** Formats that are decoded. Other formats either run an interpreter (SVG, PDF) or are rare. */
export type ImageFormat = 'jpeg' | 'png' | 'webp' | 'gif' | 'tiff' | 'avif' | 'bmp'

/** The formats by the names that error texts use. */
export const FORMAT_NAMES: Readonly<Record<ImageFormat, string>> = {
  jpeg: 'JPEG',
  png: 'PNG',
  webp: 'WebP',
  gif: 'GIF',
  tiff: 'TIFF',
  avif: 'AVIF',
  bmp: 'BMP',
}

/** Formats by subtype of their media types, with spellings that clients use. */
const SUBTYPES: Readonly<Record<string, ImageFormat>> = {
  jpeg: 'jpeg',
  jpg: 'jpeg',
  pjpeg: 'jpeg',
  png: 'png',
  'x-png': 'png',
  webp: 'webp',
  gif: 'gif',
  tiff: 'tiff',
  avif: 'avif',
  bmp: 'bmp',
  'x-ms-bmp': 'bmp',
  'x-bmp': 'bmp',
}

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const MARKUP = /^\s*<(\?xml|!doctype|!--|svg)/i
const BRANDS_OF_AVIF = new Set(['avif', 'avis'])
const BRANDS_OF_HEIF = new Set(['mif1', 'msf1', 'heic', 'heix', 'heim', 'heis', 'hevc', 'hevx'])

/** The format of the media type `image/…`; `undefined` when it is not decoded. */
export function formatOfMediaType(mediaType: string): ImageFormat | undefined {
  const subtype = mediaType.slice(mediaType.indexOf('/') + 1)
  return Object.hasOwn(SUBTYPES, subtype) ? SUBTYPES[subtype] : undefined
}

/**
 * The format whose signature the bytes start with. `other` is an image that is not decoded (HEIC,
 * SVG); `undefined` is not an image.
 */
export function formatOfBytes(bytes: Buffer): ImageFormat | 'other' | undefined {
  const first = bytes[0] ?? -1
  switch (first) {
    case 0xff:
      return isJpeg(bytes) ? 'jpeg' : undefined
    case 0x89:
      return bytes.subarray(0, 8).equals(PNG_SIGNATURE) ? 'png' : undefined
    case 0x47:
      return /^GIF8[79]a$/.test(latin1(bytes, 0, 6)) ? 'gif' : undefined
    case 0x49:
      return ['II*\0', 'II+\0'].includes(latin1(bytes, 0, 4)) ? 'tiff' : undefined
    case 0x4d:
      return ['MM\0*', 'MM\0+'].includes(latin1(bytes, 0, 4)) ? 'tiff' : undefined
    case 0x52:
      return latin1(bytes, 0, 4) === 'RIFF' && latin1(bytes, 8, 12) === 'WEBP' ? 'webp' : undefined
    case 0x42:
      return isBmp(bytes) ? 'bmp' : undefined
    case 0x00:
      return formatOfBoxes(bytes)
    default:
      return MARKUP.test(latin1(bytes, 0, 64)) ? 'other' : undefined
  }
}

/** Start of image and a marker that may follow. Three bytes alone could also be a tensor. */
function isJpeg(bytes: Buffer): boolean {
  const marker = bytes[3] ?? 0
  return bytes[1] === 0xd8 && bytes[2] === 0xff && marker >= 0xc0 && marker !== 0xff
}

/** ISO base media file: length, `ftyp`, major brand, version, compatible brands. */
function formatOfBoxes(bytes: Buffer): 'avif' | 'other' | undefined {
  if (latin1(bytes, 4, 8) !== 'ftyp') return undefined
  const end = Math.min(bytes.readUInt32BE(0), bytes.length, 128)
  let isHeif = false
  for (let at = 8; at + 4 <= end; at += 4) {
    const brand = latin1(bytes, at, at + 4)
    if (BRANDS_OF_AVIF.has(brand)) return 'avif'
    isHeif ||= BRANDS_OF_HEIF.has(brand)
  }
  return isHeif ? 'other' : undefined
}

function latin1(bytes: Buffer, start: number, end: number): string {
  return bytes.toString('latin1', start, end)
}
