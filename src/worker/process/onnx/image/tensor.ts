import { ServerError } from '../../../../errors.ts'
import { countText } from '../tensors/error-text.ts'
import { elementBytes } from '../tensors/tensor.ts'
import type { NumericTensor } from '../tensors/tensor.ts'
import { decodePicture } from './decode.ts'
import type { ImagePlan } from './plan.ts'
import { allocatePixels } from './tables.ts'
import type { PixelData } from './tables.ts'

const RGB_CHANNELS = 3
/** For several pictures: a thousand tiny files would each become a whole input. */
const MAX_TENSOR_BYTES = 256 * 1024 * 1024

/**
 * Pictures as one tensor, a row of the batch each.
 * @throws ServerError 400 when the model takes another number, 413 when they are too many, and as
 * {@link decodePicture}.
 */
export async function picturesToTensor(
  pictures: readonly Buffer[],
  plan: ImagePlan,
): Promise<NumericTensor> {
  checkCount(pictures.length, plan)
  const { datatype, width, height, layout, tables } = plan
  const size = width * height * tables.length
  const data = allocatePixels(datatype, pictures.length * size)
  // One after the other: decoding is bound by the processor, and each picture in work holds memory.
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
      `The model takes ${countText(count, 'image')} at once, the request has ${pictures}.`,
    )
  }
  const bytes = pictures * width * height * tables.length * elementBytes(datatype)
  if (pictures > 1 && bytes > MAX_TENSOR_BYTES) {
    throw new ServerError(
      'PayloadTooLargeException',
      `${pictures} images are ${bytes} bytes as a tensor; send at most ${MAX_TENSOR_BYTES} at once.`,
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

/** Luma of ITU-R BT.601 in 16-bit fixed point, the same numbers as Pillow's `convert('L')`. */
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
