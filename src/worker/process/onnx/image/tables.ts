import { ServerError } from '../../../../errors.ts'
import type { ImageSettings } from '../../../../model-folder/image-settings.ts'
import { numberToHalf } from '../tensors/half.ts'
import { allocateData } from '../tensors/tensor.ts'
import type { Datatype, NumericData, NumericDatatype } from '../tensors/tensor.ts'

/** Element arrays of an image input; FP16 is stored as bits in a `Uint16Array`. */
export type PixelData = Exclude<NumericData, BigInt64Array | BigUint64Array>

/** Smallest and largest value of an integer datatype. */
const WHOLE_RANGES: Partial<Record<Datatype, readonly [minimum: number, maximum: number]>> = {
  UINT8: [0, 255],
  INT8: [-128, 127],
  UINT16: [0, 65_535],
  INT16: [-32_768, 32_767],
  UINT32: [0, 4_294_967_295],
  INT32: [-2_147_483_648, 2_147_483_647],
}
/** Largest value of a datatype that holds fractions. */
const LARGEST: Partial<Record<Datatype, number>> = {
  FP16: 65_504,
  FP32: 3.402_823_466_385_288_6e38,
  FP64: Number.MAX_VALUE,
}
/** Datatypes that hold fractions. */
export const REAL_DATATYPES: readonly Datatype[] = ['FP16', 'FP32', 'FP64']

/**
 * Creates a table of 256 elements for each channel. A pixel is a byte, so inversion, scale, mean,
 * standard deviation, rounding and datatype together cost one look-up per value.
 * @throws ServerError `InvalidModelException` when the datatype or the settings do not suit the
 * input.
 */
export function createByteTables(
  datatype: NumericDatatype,
  channelCount: number,
  settings: ImageSettings,
): readonly PixelData[] {
  const means = perChannel('mean', settings.mean ?? [0], channelCount)
  const deviations = perChannel('std', settings.std ?? [1], channelCount)
  const scale = settings.scale ?? (REAL_DATATYPES.includes(datatype) ? 1 / 255 : 1)
  return means.map((mean, channel) => {
    const deviation = deviations[channel] ?? 1
    const table = allocatePixels(datatype, 256)
    // Values between black and white lie between their numbers.
    for (const byte of [0, 255]) checkNumber(datatype, (byte * scale - mean) / deviation)
    for (let byte = 0; byte < 256; byte++) {
      const value = (settings.invert === true ? 255 - byte : byte) * scale
      table[byte] = toElement(datatype, (value - mean) / deviation)
    }
    return table
  })
}

/**
 * Allocates pixels that are set to zero.
 * @throws ServerError `InvalidModelException` for 64-bit integers and booleans, which cannot be
 * pixels.
 */
export function allocatePixels(datatype: NumericDatatype, count: number): PixelData {
  const data = allocateData(datatype, count)
  if (datatype === 'BOOL' || data instanceof BigInt64Array || data instanceof BigUint64Array) {
    throw new ServerError(
      'InvalidModelException',
      `The image handler cannot fill ${datatype} inputs.`,
    )
  }
  return data
}

function perChannel(
  name: 'mean' | 'std',
  values: readonly number[],
  count: number,
): readonly number[] {
  const [only] = values
  if (values.length === 1 && only !== undefined) return Array.from({ length: count }, () => only)
  if (values.length === count) return values
  throw new ServerError(
    'InvalidModelException',
    `The setting image.${name} has ${values.length} values, but the input has ${count} channels.`,
  )
}

/** Integers are clamped, so only fractions can become infinite or NaN. */
function checkNumber(datatype: NumericDatatype, value: number): void {
  const largest = LARGEST[datatype]
  if (largest === undefined || Math.abs(value) <= largest) return
  throw new ServerError(
    'InvalidModelException',
    `The scale, mean and standard deviation of the image turn pixels into ${value}, which ${datatype} cannot hold.`,
  )
}

/** Integers are rounded and clamped to their range, as when an image is saved. */
function toElement(datatype: NumericDatatype, value: number): number {
  const range = WHOLE_RANGES[datatype]
  if (range !== undefined) return Math.min(Math.max(Math.round(value), range[0]), range[1])
  return datatype === 'FP16' ? numberToHalf(value) : value
}
