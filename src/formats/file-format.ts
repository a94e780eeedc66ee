/**
 * Recognises well-known file formats by their first bytes. Such a file is neither a form nor a
 * tensor of raw numbers.
 */

/** The name of a format in a text for the caller, with its article. */
export type FileFormat =
  | 'a NumPy array file'
  | 'a PNG image'
  | 'a JPEG image'
  | 'a GIF image'
  | 'a TIFF image'
  | 'a WebP image'
  | 'a BMP image'
  | 'an AVIF or HEIC image'
  | 'a PDF document'
  | 'a ZIP archive'
  | 'gzip data'
  | 'bzip2 data'
  | 'xz data'
  | 'Zstandard data'
  | 'a 7z archive'
  | 'an HDF5 file'
  | 'a Parquet file'
  | 'a Python pickle'
  | 'a WAV file'
  | 'a FLAC file'
  | 'an Ogg file'
  | 'an MP3 file'
  | 'an MP4 file'

/**
 * First bytes, in Latin-1. Each signature is long or unusual enough that a tensor hardly ever
 * begins with it.
 */
const SIGNATURES: readonly (readonly [string, FileFormat])[] = [
  ['\x93NUMPY', 'a NumPy array file'],
  ['\x89PNG\r\n\x1a\n', 'a PNG image'],
  ['GIF87a', 'a GIF image'],
  ['GIF89a', 'a GIF image'],
  ['II*\0', 'a TIFF image'],
  ['MM\0*', 'a TIFF image'],
  ['%PDF-', 'a PDF document'],
  ['PK\x03\x04', 'a ZIP archive'],
  ['PK\x05\x06', 'a ZIP archive'],
  ['\x1f\x8b\x08', 'gzip data'],
  ['\xfd7zXZ\0', 'xz data'],
  ['\x28\xb5\x2f\xfd', 'Zstandard data'],
  ["7z\xbc\xaf'\x1c", 'a 7z archive'],
  ['\x89HDF\r\n\x1a\n', 'an HDF5 file'],
  ['PAR1', 'a Parquet file'],
  ['\x80\x02}q', 'a Python pickle'],
  ['\x80\x03}q', 'a Python pickle'],
  ['\x80\x04\x95', 'a Python pickle'],
  ['\x80\x05\x95', 'a Python pickle'],
  ['fLaC', 'a FLAC file'],
  ['OggS\0', 'an Ogg file'],
]
/** First characters of the formats that {@link formatOfParts} finds. */
const PART_STARTS = ['\xff', 'R', 'B', 'I', '\0']
/** The signatures that begin with each byte. */
const BY_FIRST_BYTE: ReadonlyMap<number | undefined, typeof SIGNATURES> = new Map(
  [...PART_STARTS, ...SIGNATURES.map(([signature]) => signature)].map((start) => [
    start.charCodeAt(0),
    SIGNATURES.filter(([signature]) => signature[0] === start[0]),
  ]),
)
/** Lengths of the second header of a bitmap. */
const BITMAP_HEADERS: ReadonlySet<number | undefined> = new Set([12, 40, 52, 56, 64, 108, 124])
const LONGEST = 18

/** Returns the format whose first bytes match; `undefined` if no format does. */
export function fileFormatOf(bytes: Buffer): FileFormat | undefined {
  const signatures = BY_FIRST_BYTE.get(bytes[0])
  if (signatures === undefined) return undefined
  const start = bytes.toString('latin1', 0, LONGEST)
  const found = signatures.find(([signature]) => start.startsWith(signature))
  return found?.[1] ?? formatOfParts(start)
}

/** Whether the bytes begin as `numpy.save` writes them. */
export function isNumpyFile(bytes: Buffer): boolean {
  return bytes[0] === 0x93 && bytes.toString('latin1', 1, 6) === 'NUMPY'
}

/** Whether the bytes are an archive whose first file is an array, as `numpy.savez` writes it. */
export function isNumpyArchive(bytes: Buffer): boolean {
  if (bytes[0] !== 0x50 || bytes.length < 30 || bytes.readUInt32LE(0) !== 0x04_03_4b_50)
    return false
  const nameEnd = 30 + bytes.readUInt16LE(26)
  return bytes.toString('latin1', nameEnd - 4, nameEnd) === '.npy'
}

/** Matches the formats whose first bytes include variable ones. */
function formatOfParts(start: string): FileFormat | undefined {
  if (/^\xff\xd8\xff[\xc0-\xfe]/.test(start)) return 'a JPEG image'
  if (/^BZh[1-9]1AY&SY/.test(start)) return 'bzip2 data'
  if (/^ID3\p{Cc}/u.test(start)) return 'an MP3 file'
  if (/^RIFF[^]{4}WAVE/.test(start)) return 'a WAV file'
  if (/^RIFF[^]{4}WEBP/.test(start)) return 'a WebP image'
  // A bitmap: reserved zeros, the offset of the pixels, and the length of a known header.
  const bitmap = /^BM[^]{4}\0{4}[^]{4}([^])\0{3}/.exec(start)
  if (BITMAP_HEADERS.has(bitmap?.[1]?.charCodeAt(0))) return 'a BMP image'
  if (/^\0\0\0[^]ftyp(?:avi[fs]|hei[cx]|mif1)/.test(start)) return 'an AVIF or HEIC image'
  return /^\0\0\0[^]ftyp/.test(start) ? 'an MP4 file' : undefined
}
