import { ServerError } from '../../../../errors.ts'
import { countText } from '../tensors/error-text.ts'
import { elementBytes } from '../tensors/tensor.ts'
import type { NumericTensor } from '../tensors/tensor.ts'
import { decodePicture } from './decode.ts'
import type { ImagePlan } from './plan.ts'
import { allocatePixels } from './tables.ts'
import type { PixelData } from './tables.ts'

const RGB_CHANNELS = 3
/** Limit for several images: each of a thousand tiny files would become a full-size input. */
const MAX_TENSOR_BYTES = 256 * 1024 * 1024

/**
 * Converts images into one tensor, with one entry of the batch dimension per image.
 * @throws ServerError 400 when the model takes another number of images, 413 when they are too
 * many, and the errors of {@link decodePicture}.
 */
export async function picturesToTensor(
  pictures: readonly Buffer[],
  plan: ImagePlan,
): Promise<NumericTensor> {
  checkCount(pictures.length, plan)
  const { datatype, width, height, layout, tables } = plan
  const size = width * height * tables.length
  const data = allocatePixels(datatype, pictures.length * size)
  // One after the other: decoding uses the CPU fully, and each image in progress holds memory.
  for (const [row, picture] of pictures.entries()) {
    const rgb = await decodePicture(picture, plan)
    writePixels(rgb, plan, data.subarray(row * size, (row + 1) * size))
  }
  const shape = layout === 'NCHW' ? [tables.length, height, width] : [height, width, tables.length]
  return { datatype, shape: [pictures.length, ...shape], data }
}

function checkCount(pictures: number, { count, datatype, width, height, tables }: ImagePlan): void {
  if (count !== -1 && count !== pictures) {
    throw new ServerError(
      'InvalidInputException',
      `The model takes ${countText(count, 'image')} in a request, but the request has ${pictures}.`,
    )
  }
  const bytes = pictures * width * height * tables.length * elementBytes(datatype)
  if (pictures > 1 && bytes > MAX_TENSOR_BYTES) {
    throw new ServerError(
      'PayloadTooLargeException',
      `${pictures} images become a tensor of ${bytes} bytes, more than the limit of ${MAX_TENSOR_BYTES}. Send fewer images in a request.`,
    )
  }
}

function writePixels(rgb: Buffer, { colors, layout, tables }: ImagePlan, target: PixelData): void {
  const pixels = rgb.length / RGB_CHANNELS
  const bytes = colors === 'grayscale' ? toGrayscale(rgb, pixels) : rgb
  const step = colors === 'grayscale' ? 1 : RGB_CHANNELS
  for (const [channel, table] of tables.entries()) {
    let source = colors === 'bgr' ? RGB_CHANNELS - 1 - channel : channel
    let at = layout === 'NCHW' ? channel * pixels : channel
    const stride = layout === 'NCHW' ? 1 : tables.length
    for (let pixel = 0; pixel < pixels; pixel++) {
      target[at] = table[bytes[source] ?? 0] ?? 0
      source += step
      at += stride
    }
  }
}

/** Luma of ITU-R BT.601 in 16-bit fixed point, with the same results as Pillow's `convert('L')`. */
function toGrayscale(rgb: Buffer, pixels: number): Uint8Array {
  const grayscale = new Uint8Array(pixels)
  for (let pixel = 0, at = 0; pixel < pixels; pixel++, at += RGB_CHANNELS) {
    const red = rgb[at] ?? 0
    const green = rgb[at + 1] ?? 0
    const blue = rgb[at + 2] ?? 0
    grayscale[pixel] = (red * 19_595 + green * 38_470 + blue * 7_471 + 32_768) >> 16
  }
  return grayscale
}
