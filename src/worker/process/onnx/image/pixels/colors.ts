/** Conversions between colour spaces, with the same results as Pillow. */
import type { Pixels } from './resample.ts'

const RGB_CHANNELS = 3

/** Luma of ITU-R BT.601 in 16-bit fixed point, as `convert('L')`. */
export function toGrayscale({ data, width, height }: Pixels): Pixels {
  const grayscale = new Uint8Array(width * height)
  for (let pixel = 0, at = 0; pixel < grayscale.length; pixel++, at += RGB_CHANNELS) {
    const red = data[at] ?? 0
    const green = data[at + 1] ?? 0
    const blue = data[at + 2] ?? 0
    grayscale[pixel] = (red * 19_595 + green * 38_470 + blue * 7_471 + 32_768) >> 16
  }
  return { data: grayscale, width, height, channels: 1 }
}

/** Subtracts each ink from white, as `convert('RGB')` of an image of the mode CMYK. */
export function cmykToRgb({ data, width, height, channels }: Pixels): Pixels {
  const rgb = new Uint8Array(width * height * RGB_CHANNELS)
  for (let from = 0, to = 0; to < rgb.length; from += channels, to += RGB_CHANNELS) {
    const light = 255 - (data[from + 3] ?? 0)
    for (let channel = 0; channel < RGB_CHANNELS; channel++) {
      const product = (data[from + channel] ?? 0) * light + 128
      rgb[to + channel] = light - ((product + (product >> 8)) >> 8)
    }
  }
  return { data: rgb, width, height, channels: RGB_CHANNELS }
}
