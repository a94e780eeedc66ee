import sharp from 'sharp'
import { messageOf, ServerError } from '../../../../errors.ts'
import type { ImagePlan } from './plan.ts'

/**
 * Maximum width times height of an image that is decoded. A file of a kilobyte can declare
 * terabytes of pixels.
 */
const MAX_PIXELS = 100_000_000
/** Maximum width and height, as in JPEG. Shrinking a row of millions of pixels takes seconds. */
const MAX_SIDE = 65_535
/** The allowed decoders of libvips. SVG, PDF and all formats that open other files are excluded. */
const LOADERS = ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map(
  (name) => `VipsForeignLoad${name}Buffer`,
)
const BLACK = { r: 0, g: 0, b: 0 }
const RGB_CHANNELS = 3

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
 * Decodes an image and resizes it to the plan's size. Returns RGB bytes, row by row. The EXIF
 * orientation is applied, transparency becomes black, 16 bits become 8 bits, and an animation
 * becomes its first frame.
 * @throws ServerError 400 when the image is damaged or incomplete, 413 when it is too large.
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
    `The image has ${width}×${height} pixels; the limit is ${MAX_PIXELS} pixels, and ${MAX_SIDE} pixels for width and height.`,
  )
}

function decodeError(cause: unknown): ServerError {
  const [reason = ''] = messageOf(cause, 200).split('\n')
  return new ServerError('InvalidInputException', `The image cannot be decoded: ${reason}.`, {
    cause,
  })
}
