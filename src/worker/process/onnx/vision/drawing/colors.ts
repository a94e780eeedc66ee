/** Colors of classes: neighbouring numbers differ most. */

/** Red, green and blue, from 0 to 255. */
export type Color = readonly [red: number, green: number, blue: number]

export const BLACK: Color = [0, 0, 0]
export const WHITE: Color = [255, 255, 255]

const FIRST: readonly Color[] = [
  [255, 64, 64],
  [0, 200, 83],
  [41, 121, 255],
  [255, 196, 0],
  [213, 0, 249],
  [0, 229, 255],
  [255, 109, 0],
  [118, 255, 3],
  [255, 64, 160],
  [101, 88, 255],
]
/** The golden angle: multiples of it are spread evenly over the circle. */
const HUE_STEP = 137.508
/** White has a contrast of at least 3 to 1 on colors up to this luminance. */
const MAX_LUMINANCE = 0.28

/** The color of a class. */
export function colorOf(index: number): Color {
  const fixed = FIRST[index]
  if (fixed !== undefined) return fixed
  const hue = (Math.abs(index) * HUE_STEP) % 360
  const lightness = index % 2 === 0 ? 0.45 : 0.62
  return [channelOf(0, hue, lightness), channelOf(8, hue, lightness), channelOf(4, hue, lightness)]
}

/** White, or black on colors that are too light for white. */
export function textColorOn(color: Color): Color {
  return luminanceOf(color) > MAX_LUMINANCE ? BLACK : WHITE
}

/** The relative luminance of WCAG, from 0 to 1. */
function luminanceOf(color: Color): number {
  const [red, green, blue] = color.map((value) => (value / 255) ** 2.2)
  return 0.2126 * (red ?? 0) + 0.7152 * (green ?? 0) + 0.0722 * (blue ?? 0)
}

/** One channel of a color with a saturation of 0.9, after the formula of CSS for `hsl()`. */
function channelOf(offset: number, hue: number, lightness: number): number {
  const place = (offset + hue / 30) % 12
  const chroma = 0.9 * Math.min(lightness, 1 - lightness)
  return Math.round(255 * (lightness - chroma * Math.max(-1, Math.min(place - 3, 9 - place, 1))))
}
