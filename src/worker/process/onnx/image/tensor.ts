import { ServerError } from '../../../../errors.ts'
import { countText } from '../tensors/error-text.ts'
import { elementBytes } from '../tensors/tensor.ts'
import type { NumericTensor } from '../tensors/tensor.ts'
import { decodeImage, readImageHeaders } from './decode.ts'
import type { EarlyResize, ImageHeader, ImagePlace } from './decode.ts'
import { resample } from './pixels/resample.ts'
import type { Pixels } from './pixels/resample.ts'
import { placeImage } from './placement.ts'
import type { Placement } from './placement.ts'
import { MAX_SIDE } from './plan.ts'
import type { ImagePlan } from './plan.ts'
import { allocatePixels } from './tables.ts'
import type { PixelData } from './tables.ts'

const RGB_CHANNELS = 3
/** Limit for several images: each of a thousand tiny files would become a full-size input. */
const MAX_TENSOR_BYTES = 256 * 1024 * 1024
/**
 * A larger image is reduced while it is decoded, so that its pixels need not all be in memory. This
 * changes the result by a third of a level of 255 on average.
 */
const MAX_EXACT_PIXELS = 16_000_000
/** A larger image is reduced to this many times the size that is needed, as in Pillow's drafts. */
const REDUCING_GAP = 4

/** The images of a request as a tensor. */
export interface ImageTensor {
  readonly tensor: NumericTensor
  /** Where each image is in the tensor. */
  readonly placements: readonly Placement[]
  /** Size of the tensor in pixels. */
  readonly frame: Frame
}

/**
 * Converts images into one tensor, with one entry of the batch dimension per image. If the model
 * takes any size, smaller images are padded with zeros on the right and at the bottom.
 * @param mayPad Whether the model knows by a mask which pixels are padding.
 * @throws ServerError 400 when the model takes another number of images, 413 when they are too
 * many, and the errors of {@link decodeImage}.
 */
export async function imagesToTensor(
  images: readonly Buffer[],
  plan: ImagePlan,
  mayPad = false,
): Promise<ImageTensor> {
  checkCount(images.length, plan)
  const headers = await readImageHeaders(images, plan.decode)
  const placements = headers.map(({ width, height }) => placeImage(width, height, plan.geometry))
  const frame = {
    width: Math.max(...placements.map(({ width }) => width)),
    height: Math.max(...placements.map(({ height }) => height)),
  }
  checkFrame(placements, frame, plan, mayPad)
  const { datatype, hasBatch, isChannelsFirst, tables } = plan
  const size = frame.width * frame.height * tables.length
  const data = allocatePixels(datatype, images.length * size)
  // One after the other: decoding uses the CPU fully, and each image in progress holds memory.
  for (const [index, bytes] of images.entries()) {
    const [header, placement] = [headers[index], placements[index]]
    if (header === undefined || placement === undefined) throw new TypeError('an image is missing')
    const place = { index, count: images.length }
    const pixels = await drawImage(bytes, header, placement, plan, place)
    writePixels(pixels, plan, frame, data.subarray(index * size, (index + 1) * size))
  }
  const shape = isChannelsFirst
    ? [tables.length, frame.height, frame.width]
    : [frame.height, frame.width, tables.length]
  return {
    tensor: { datatype, shape: hasBatch ? [images.length, ...shape] : shape, data },
    placements,
    frame,
  }
}

interface Frame {
  readonly width: number
  readonly height: number
}

function checkCount(images: number, { count }: ImagePlan): void {
  if (count === -1 || count === images) return
  throw new ServerError(
    'InvalidInputException',
    `The model takes ${countText(count, 'image')} in a request, but the request has ${images}. Send each image in a request of its own.`,
  )
}

function checkFrame(
  placements: readonly Placement[],
  { width, height }: Frame,
  { datatype, tables }: ImagePlan,
  mayPad: boolean,
): void {
  if (Math.max(width, height) > MAX_SIDE) {
    throw new ServerError(
      'PayloadTooLargeException',
      `The image has ${width}×${height} pixels after resizing; the limit is ${MAX_SIDE} for width and height. Crop the image.`,
    )
  }
  const odd = placements.find((one) => one.width !== width || one.height !== height)
  if (odd !== undefined && !mayPad) {
    throw new ServerError(
      'InvalidInputException',
      `The images have different sizes after resizing, ${odd.width}×${odd.height} and at least ${width} or ${height}. Send one image in a request.`,
    )
  }
  const images = placements.length
  const bytes = images * width * height * tables.length * elementBytes(datatype)
  if (images > 1 && bytes > MAX_TENSOR_BYTES) {
    throw new ServerError(
      'PayloadTooLargeException',
      `${images} images become a tensor of ${bytes} bytes, more than the limit of ${MAX_TENSOR_BYTES}. Send fewer images in a request.`,
    )
  }
}

/** Decodes and resizes an image, and crops or pads it to the size of its placement. */
async function drawImage(
  bytes: Buffer,
  header: ImageHeader,
  placement: Placement,
  plan: ImagePlan,
  place: ImagePlace,
): Promise<Pixels> {
  const { resizedWidth, resizedHeight, left, top, width, height } = placement
  const early = earlyResize(placement, plan)
  const pixels = await decodeImage(bytes, header, plan.decode, early, place)
  const visible = {
    width: resizedWidth,
    height: resizedHeight,
    left: Math.max(0, -left),
    top: Math.max(0, -top),
    visibleWidth: Math.min(width, left + resizedWidth) - Math.max(0, left),
    visibleHeight: Math.min(height, top + resizedHeight) - Math.max(0, top),
  }
  const kernel = plan.kernel === 'fast' ? 'lanczos' : plan.kernel
  const drawn = resample(pixels, visible, kernel, plan.antialias)
  if (drawn.width === width && drawn.height === height) return drawn
  return padded(drawn, placement, plan)
}

function earlyResize(placement: Placement, { kernel }: ImagePlan): EarlyResize | undefined {
  const { sourceWidth, sourceHeight, resizedWidth, resizedHeight } = placement
  if (kernel === 'fast' && resizedWidth * resizedHeight <= MAX_EXACT_PIXELS)
    return { width: resizedWidth, height: resizedHeight, kernel: 'lanczos3' }
  if (sourceWidth * sourceHeight <= MAX_EXACT_PIXELS) return undefined
  return {
    width: Math.min(sourceWidth, resizedWidth * REDUCING_GAP),
    height: Math.min(sourceHeight, resizedHeight * REDUCING_GAP),
    kernel: 'linear',
  }
}

function padded(drawn: Pixels, placement: Placement, { padColor, colors }: ImagePlan): Pixels {
  const { width, height } = placement
  const { channels } = drawn
  const left = Math.max(0, placement.left)
  const top = Math.max(0, placement.top)
  const [red = 0, green = 0, blue = 0] = padColor
  const color =
    colors === 'grayscale'
      ? [(red * 19_595 + green * 38_470 + blue * 7_471 + 32_768) >> 16]
      : padColor
  const data = new Uint8Array(width * height * channels)
  for (let at = 0; at < data.length; at++) data[at] = color[at % channels] ?? 0
  for (let row = 0; row < drawn.height; row++) {
    const from = row * drawn.width * channels
    const into = ((top + row) * width + left) * channels
    data.set(drawn.data.subarray(from, from + drawn.width * channels), into)
  }
  return { data, width, height, channels }
}

function writePixels(image: Pixels, plan: ImagePlan, frame: Frame, target: PixelData): void {
  const { colors, isChannelsFirst, tables } = plan
  const stride = isChannelsFirst ? 1 : tables.length
  for (const [channel, table] of tables.entries()) {
    const first = colors === 'bgr' ? RGB_CHANNELS - 1 - channel : channel
    const start = isChannelsFirst ? channel * frame.width * frame.height : channel
    for (let row = 0; row < image.height; row++) {
      let source = row * image.width * image.channels + first
      let at = start + row * frame.width * stride
      for (let column = 0; column < image.width; column++) {
        target[at] = table[image.data[source] ?? 0] ?? 0
        source += image.channels
        at += stride
      }
    }
  }
}
