import { placeImage } from '../../src/worker/process/onnx/image/placement.ts'
import { pixelMapOf } from '../../src/worker/process/onnx/vision/geometry.ts'
import type { PixelMap, Size } from '../../src/worker/process/onnx/vision/geometry.ts'

/** How an image is resized to the input of a model. */
export interface Fit extends Size {
  readonly fit: 'fill' | 'cover' | 'contain'
}

/** Returns the map of an image of this size. */
export function mapOf(fit: Fit, { width, height }: Size): PixelMap {
  return pixelMapOf(
    placeImage(width, height, {
      ...fit,
      cropPct: 1,
      resize: undefined,
      cropRounding: 'even',
      padPosition: 'center',
    }),
  )
}
