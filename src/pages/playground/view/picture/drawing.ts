/** Draws results on an image. */
import type { Detection } from '../../result/result-view.ts'
import { colorOf } from '../colors.ts'

/** Size of the canvas and of the image on it. */
export interface CanvasSize {
  /** Pixels of the canvas for one pixel of the image. */
  readonly scale: number
  /** Pixels of the canvas for one pixel of CSS. */
  readonly density: number
  readonly width: number
  readonly height: number
}

const LINE = 2
const TEXT = 12
const PADDING = 3
const MASK_ALPHA = 0.55

/** Boxes with their labels and scores. The best one is drawn last, on top. */
export function drawDetections(
  context: CanvasRenderingContext2D,
  { scale, density, width, height }: CanvasSize,
  items: readonly Detection[],
): void {
  const [line, text, padding] = [LINE * density, TEXT * density, PADDING * density]
  context.font = `600 ${text}px system-ui, sans-serif`
  context.textBaseline = 'middle'
  for (const { label, index, score, box } of items.toReversed()) {
    const [left, top, right, bottom] = box.map((edge) => edge * scale)
    if (left === undefined || top === undefined || right === undefined || bottom === undefined)
      continue
    context.strokeStyle = colorOf(index)
    context.lineWidth = line
    context.strokeRect(left, top, right - left, bottom - top)
    const caption = `${label} ${score.toFixed(2)}`
    const captionWidth = context.measureText(caption).width + 2 * padding
    const captionHeight = text + 2 * padding
    const x = Math.max(0, Math.min(left - line / 2, width - captionWidth))
    const above = top - captionHeight
    const y = Math.min(above >= 0 ? above : top, height - captionHeight)
    context.fillStyle = colorOf(index)
    context.fillRect(x, y, captionWidth, captionHeight)
    context.fillStyle = '#10141a'
    context.fillText(caption, x + padding, y + captionHeight / 2)
  }
}

/** The areas of a mask. Its black pixels are the background and stay free. */
export function drawMask(
  context: CanvasRenderingContext2D,
  { width, height }: CanvasSize,
  mask: ImageBitmap,
): void {
  const layer = new OffscreenCanvas(mask.width, mask.height)
  const pen = layer.getContext('2d')
  if (pen === null) return
  pen.drawImage(mask, 0, 0)
  const pixels = pen.getImageData(0, 0, mask.width, mask.height)
  const { data } = pixels
  for (let at = 0; at < data.length; at += 4) {
    const isBlack = data[at] === 0 && data[at + 1] === 0 && data[at + 2] === 0
    if (isBlack) data[at + 3] = 0
  }
  pen.putImageData(pixels, 0, 0)
  context.imageSmoothingEnabled = false
  context.globalAlpha = MASK_ALPHA
  context.drawImage(layer, 0, 0, width, height)
  context.globalAlpha = 1
}
