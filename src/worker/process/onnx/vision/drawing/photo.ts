/** Decodes the image of a client to draw on it, and encodes it again. */
import sharp from 'sharp'
import { openImage } from '../../image/decode.ts'
import { Canvas } from './canvas.ts'

/** Larger images are drawn at a smaller size: an image of 100 million pixels takes 300 MB. */
const MAX_DRAWN_PIXELS = 25_000_000
const JPEG_QUALITY = 90

export type DrawnType = 'image/png' | 'image/jpeg'

/**
 * Draws on an image and returns its bytes.
 * @param bytes An image that was already decoded once, so that it is not damaged.
 * @param draw Gets a canvas and its size divided by the size of the image.
 */
export async function drawOn(
  bytes: Buffer,
  type: DrawnType,
  draw: (canvas: Canvas, factor: number) => void,
  maxPixels = MAX_DRAWN_PIXELS,
): Promise<Buffer> {
  const size = await uprightSize(bytes)
  const factor = Math.min(1, Math.sqrt(maxPixels / (size.width * size.height)))
  const width = Math.max(1, Math.floor(size.width * factor))
  const height = Math.max(1, Math.floor(size.height * factor))
  const pixels = await openImage(bytes)
    .flatten({ background: { r: 0, g: 0, b: 0 } })
    .resize({ width, height, fit: 'fill' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer()
  draw(new Canvas(pixels, { width, height }), factor)
  const drawn = sharp(pixels, { raw: { width, height, channels: 3 } })
  return type === 'image/png'
    ? drawn.png({ compressionLevel: 6 }).toBuffer()
    : drawn.jpeg({ quality: JPEG_QUALITY, chromaSubsampling: '4:4:4' }).toBuffer()
}

/** Width and height of an image after it is rotated as its EXIF data says. */
async function uprightSize(bytes: Buffer): Promise<{ width: number; height: number }> {
  const { autoOrient } = await openImage(bytes).metadata()
  return { width: autoOrient.width, height: autoOrient.height }
}
