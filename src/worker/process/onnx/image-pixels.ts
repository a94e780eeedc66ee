import sharp from 'sharp'
import { messageOf, ServerError } from '../../../errors.ts'
import type { ImagePlan } from './image-plan.ts'

/** Largest picture that is decoded, width times height: a file of a kilobyte can announce terabytes. */
const MAX_PIXELS = 100_000_000
const PIXEL_LIMIT_TEXT = 'exceeds pixel limit'
/** The decoders of libvips that may run: no SVG, no PDF, nothing that opens other files. */
const LOADERS = ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff', 'Heif'].map(
  (name) => `VipsForeignLoad${name}Buffer`,
)
const BLACK = { r: 0, g: 0, b: 0 }
const RGB_CHANNELS = 3

/** Sets up the decoder for a process that decodes one picture at a time and never the same one twice. */
export function prepareDecoder(): void {
  sharp.cache(false)
  sharp.concurrency(1)
  sharp.block({ operation: ['VipsForeignLoad'] })
  sharp.unblock({ operation: LOADERS })
}

/**
 * Decodes a picture and brings it to the plan's size: RGB bytes, row by row. Turned as its EXIF orientation says,
 * transparency on black, colours to sRGB, 16 bits to 8, the first frame of an animation.
 * @throws ServerError 400 for a picture that is broken or cut off, 413 for one of too many pixels.
 */
export async function decodePicture(bytes: Buffer, plan: ImagePlan): Promise<Buffer> {
  const { width, height, fit } = plan
  try {
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
      throw new Error(`unexpected result of ${info.width}×${info.height}×${info.channels}`)
    }
    return data
  } catch (error) {
    throw asServerError(error)
  }
}

function asServerError(cause: unknown): ServerError {
  const text = messageOf(cause)
  if (text.includes(PIXEL_LIMIT_TEXT)) {
    return new ServerError(
      'PayloadTooLargeException',
      `The image has more than ${MAX_PIXELS} pixels.`,
      { cause },
    )
  }
  const [reason = ''] = text.split('\n')
  return new ServerError(
    'InvalidInputException',
    `The image cannot be decoded: ${reason.slice(0, 200)}.`,
    { cause },
  )
}
