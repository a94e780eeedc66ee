import sharp from 'sharp'
import { messageOf, ServerError } from '../../../../errors.ts'
import type { ImagePlan } from './plan.ts'

/** Largest picture that is decoded, width times height: a kilobyte can announce terabytes. */
const MAX_PIXELS = 100_000_000
/** Longest side, as in JPEG: shrinking a line of millions of pixels takes seconds. */
const MAX_SIDE = 65_535
/** The decoders of libvips that may run: no SVG, no PDF, nothing that opens other files. */
const LOADERS = ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map(
  (name) => `VipsForeignLoad${name}Buffer`,
)
const BLACK = { r: 0, g: 0, b: 0 }
const RGB_CHANNELS = 3

/** Sets up the decoder: one thread a picture, no cache (no picture comes twice), no other format. */
export function prepareDecoder(): void {
  sharp.cache(false)
  sharp.concurrency(1)
  sharp.block({ operation: ['VipsForeignLoad'] })
  sharp.unblock({ operation: LOADERS })
}

/**
 * Decodes a picture and brings it to the plan's size: RGB bytes, row by row. It is turned as its EXIF
 * orientation says; transparency becomes black, 16 bits become 8, an animation its first frame.
 * @throws ServerError 400 for a picture that is broken or cut off, 413 for one that is too large.
 */
export async function decodePicture(bytes: Buffer, plan: ImagePlan): Promise<Buffer> {
  const { width, height, fit } = plan
  try {
    const header = await sharp(bytes, { limitInputPixels: false }).metadata()
    checkSize(header.width, header.height)
    const { data, info } = await sharp(bytes, {
      autoOrient: true,
      failOn: 'error',
      limitInputPixels: MAX_PIXELS,
      sequentialRead: true,
    })
      .flatten({ background: BLACK })
      .resize({ width, height, fit, background: BLACK })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    if (info.width !== width || info.height !== height || info.channels !== RGB_CHANNELS) {
      throw new Error(`unexpected size ${info.width}×${info.height}×${info.channels}`)
    }
    return data
  } catch (error) {
    throw error instanceof ServerError ? error : decodeError(error)
  }
}

function checkSize(width: number, height: number): void {
  if (width * height <= MAX_PIXELS && Math.max(width, height) <= MAX_SIDE) return
  throw new ServerError(
    'PayloadTooLargeException',
    `The image is ${width}×${height}; at most ${MAX_PIXELS} pixels and ${MAX_SIDE} a side are decoded.`,
  )
}

function decodeError(cause: unknown): ServerError {
  const [reason = ''] = messageOf(cause, 200).split('\n')
  return new ServerError('InvalidInputException', `The image cannot be decoded: ${reason}.`, {
    cause,
  })
}
