/** Draws the areas of a segmenter on an image, with a legend. */
import type { Area, Mask } from '../segmentation.ts'
import type { Canvas } from './canvas.ts'
import { drawLabel, drawableName, labelSize, textScale } from './label.ts'
import { maskColor } from './mask-png.ts'

const OPACITY = 0.5
const MAX_ENTRIES = 12

/** Draws the classes in their colors; a background stays as it is. */
export function drawAreas(
  canvas: Canvas,
  { width, height, classes }: Mask,
  areas: readonly Area[],
  hasBackground: boolean,
): void {
  const isDrawn = (index: number): boolean => index > 0 || !hasBackground
  canvas.paint((pixel) => {
    const x = Math.floor(((pixel % canvas.width) * width) / canvas.width)
    const y = Math.floor((Math.floor(pixel / canvas.width) * height) / canvas.height)
    const index = classes[y * width + x] ?? 0
    return isDrawn(index) ? maskColor(index, hasBackground) : undefined
  }, OPACITY)

  const scale = textScale(canvas)
  let top = 0
  for (const area of areas.filter(({ index }) => isDrawn(index)).slice(0, MAX_ENTRIES)) {
    const text = `${drawableName(area.class, area.index)} ${(area.share * 100).toFixed(1)}%`
    const size = labelSize(text, scale)
    drawLabel(canvas, text, { left: 0, top, ...size }, maskColor(area.index, hasBackground))
    top += size.height
  }
}
