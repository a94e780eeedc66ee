import sharp from 'sharp'
import type { Sharp } from 'sharp'
import { messageOf, ServerError } from '../../../../errors.ts'
import { FORMAT_NAMES, formatOfBytes } from './format.ts'
import { isBmp, readBmpHeader, readBmpPixels } from './pixels/bmp.ts'
import { cmykToRgb, toGrayscale } from './pixels/colors.ts'
import type { Pixels } from './pixels/resample.ts'
import type { DecodeRules } from './plan.ts'

/**
 * Maximum width times height of an image that is decoded. A file of a kilobyte can declare
 * terabytes of pixels.
 */
const MAX_PIXELS = 100_000_000
/** The same for all images of a request together. */
const MAX_TOTAL_PIXELS = 400_000_000
/** Maximum width and height, as in JPEG. Shrinking a row of millions of pixels takes seconds. */
const MAX_SIDE = 65_535
/** The allowed decoders of libvips. SVG, PDF and all formats that open other files are excluded. */
const LOADERS = ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map(
  (name) => `VipsForeignLoad${name}Buffer`,
)
const RGB_CHANNELS = 3

/** The size of an image as the plan sees it: after its EXIF orientation is applied. */
export interface ImageHeader {
  readonly width: number
  readonly height: number
  readonly isCmyk: boolean
}

/**
 * Configures the decoder: one thread per image, no cache (images do not repeat), no other formats.
 */
export function prepareDecoder(): void {
  sharp.cache(false)
  sharp.concurrency(1)
  sharp.block({ operation: ['VipsForeignLoad'] })
  sharp.unblock({ operation: LOADERS })
}

/**
 * Reads the sizes of all images of a request, before any of them is decoded.
 * @throws ServerError 400 when one is damaged, 413 when one or all together are too large.
 */
export async function readImageHeaders(
  images: readonly Buffer[],
  rules: DecodeRules,
): Promise<readonly ImageHeader[]> {
  const headers: ImageHeader[] = []
  let total = 0
  for (const [index, bytes] of images.entries()) {
    const place = { index, count: images.length }
    const header = await readHeader(bytes, rules).catch((error: unknown) => {
      throw decodeError(error, bytes, place)
    })
    checkSize(header, place)
    total += header.width * header.height
    headers.push(header)
  }
  if (total <= MAX_TOTAL_PIXELS) return headers
  throw new ServerError(
    'PayloadTooLargeException',
    `The ${images.length} images have ${total} pixels together; the limit is ${MAX_TOTAL_PIXELS}. Send fewer or smaller images in a request.`,
  )
}

/** The position of an image in its request, for error texts. */
export interface ImagePlace {
  readonly index: number
  readonly count: number
}

/** A size to which an image is resized while it is decoded. */
export interface EarlyResize {
  readonly width: number
  readonly height: number
  readonly kernel: 'linear' | 'lanczos3'
}

/**
 * Decodes an image to 8-bit RGB or grayscale. An animation becomes its first frame.
 * @param early A size other than that of the file; BMP files do not obey it.
 * @throws ServerError 400 when the image is damaged or incomplete.
 */
export async function decodeImage(
  bytes: Buffer,
  header: ImageHeader,
  rules: DecodeRules,
  early: EarlyResize | undefined,
  place: ImagePlace,
): Promise<Pixels> {
  try {
    const color = isBmp(bytes)
      ? readBmpPixels(bytes, readBmpHeader(bytes))
      : await decodeWithSharp(bytes, header, rules, early)
    const { width, height } = early ?? header
    if (!isBmp(bytes) && (color.width !== width || color.height !== height))
      throw new Error(`unexpected size ${color.width}×${color.height}`)
    return rules.isGrayscale ? toGrayscale(color) : color
  } catch (error) {
    throw decodeError(error, bytes, place)
  }
}

/**
 * Opens an image that was decoded before, to draw on it: upright, in the colours of its profile.
 */
export function openImage(bytes: Buffer): Sharp {
  if (!isBmp(bytes)) return sharp(bytes, { autoOrient: true, limitInputPixels: false })
  const { data, width, height } = readBmpPixels(bytes, readBmpHeader(bytes))
  return sharp(data, { raw: { width, height, channels: RGB_CHANNELS } })
}

async function readHeader(bytes: Buffer, rules: DecodeRules): Promise<ImageHeader> {
  if (isBmp(bytes)) return { ...readBmpHeader(bytes), isCmyk: false }
  const found = await sharp(bytes, { limitInputPixels: false }).metadata()
  const { width, height } = rules.appliesOrientation ? found.autoOrient : found
  return { width, height, isCmyk: found.space === 'cmyk' }
}

/**
 * Without a profile, CMYK is converted here: libvips would use a profile of its own, and Pillow
 * does not.
 */
async function decodeWithSharp(
  bytes: Buffer,
  { isCmyk }: ImageHeader,
  rules: DecodeRules,
  early: EarlyResize | undefined,
): Promise<Pixels> {
  const keepsCmyk = isCmyk && !rules.appliesProfile
  const opened = sharp(bytes, {
    autoOrient: rules.appliesOrientation,
    failOn: 'error',
    ignoreIcc: !rules.appliesProfile,
    limitInputPixels: MAX_PIXELS,
    sequentialRead: true,
  })
  const opaque =
    rules.alpha === 'ignore' ? opened.removeAlpha() : opened.flatten({ background: rules.alpha })
  const sized = early ? opaque.resize({ ...early, fit: 'fill' }) : opaque
  const converted = keepsCmyk
    ? sized.pipelineColourspace('cmyk').toColourspace('cmyk')
    : sized.toColourspace('srgb')
  const { data, info } = await converted
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  const pixels = { data, width: info.width, height: info.height, channels: info.channels }
  if (keepsCmyk) return cmykToRgb(pixels)
  if (info.channels !== RGB_CHANNELS) throw new Error(`unexpected ${info.channels} channels`)
  return pixels
}

function checkSize({ width, height }: ImageHeader, place: ImagePlace): void {
  if (width * height <= MAX_PIXELS && Math.max(width, height) <= MAX_SIDE) return
  throw new ServerError(
    'PayloadTooLargeException',
    `${nameOf('image', place)} has ${width}×${height} pixels; the limit is ${MAX_PIXELS} pixels, and ${MAX_SIDE} pixels for width and height. Send a smaller image.`,
  )
}

function decodeError(cause: unknown, bytes: Buffer, place: ImagePlace): ServerError {
  if (cause instanceof ServerError) return cause
  const [reason = ''] = messageOf(cause, 200).split('\n')
  const format = formatOfBytes(bytes)
  const kind =
    format === undefined || format === 'other' ? 'image' : `${FORMAT_NAMES[format]} image`
  return new ServerError(
    'InvalidInputException',
    `${nameOf(kind, place)} cannot be decoded: ${reason}. Check that the whole file was sent.`,
    { cause },
  )
}

function nameOf(kind: string, { index, count }: ImagePlace): string {
  return count === 1 ? `The ${kind}` : `The ${kind} ${index + 1} of ${count}`
}
