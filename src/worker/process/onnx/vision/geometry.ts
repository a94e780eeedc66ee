/** Maps places in the model's input to places in the image that the client sent. */
import { sourceX, sourceY } from '../image/placement.ts'
import type { Placement } from '../image/placement.ts'

/** Width and height in pixels. */
export interface Size {
  readonly width: number
  readonly height: number
}

/** How the model's input lies over one image. The axes do not depend on each other. */
export interface PixelMap {
  /** Size of the model's input. */
  readonly input: Size
  /** Size of the image, upright. */
  readonly original: Size
  /** The place in the image of a place in the model's input. It may lie outside the image. */
  toOriginal(x: number, y: number): readonly [x: number, y: number]
}

/** Returns the map of an image. */
export function pixelMapOf(placement: Placement): PixelMap {
  const { width, height, sourceWidth, sourceHeight } = placement
  return {
    input: { width, height },
    original: { width: sourceWidth, height: sourceHeight },
    toOriginal: (x, y) => [sourceX(x, placement), sourceY(y, placement)],
  }
}
