/** Draws detections on an image: a frame, and a label with the score. */
import type { Detection } from '../detection/detect.ts'
import type { Size } from '../geometry.ts'
import type { Canvas, Rectangle } from './canvas.ts'
import { colorOf, textColorOn } from './colors.ts'
import { ADVANCE, GLYPH_HEIGHT, strokesOf } from './glyphs.ts'

const MAX_LABEL = 24
/** Pixels of the shorter side of an image for each pixel of a line and of a text's line. */
const PIXELS_PER_LINE = 220
const PIXELS_PER_SCALE = 320

/**
 * Draws the detections, that with the highest score last.
 * @param factor Size of the canvas divided by the size of the image.
 */
export function drawDetections(
  canvas: Canvas,
  detections: readonly Detection[],
  factor: number,
): void {
  const shorter = Math.min(canvas.width, canvas.height)
  const line = Math.max(1, Math.round(shorter / PIXELS_PER_LINE))
  const scale = Math.max(1, Math.round((2 * shorter) / PIXELS_PER_SCALE) / 2)
  const frames = detections.map(({ box: [left, top, right, bottom] }) => {
    const [x, y] = [Math.floor(left * factor), Math.floor(top * factor)]
    const width = Math.max(1, Math.ceil(right * factor) - x)
    return { left: x, top: y, width, height: Math.max(1, Math.ceil(bottom * factor) - y) }
  })
  for (const [index, frame] of [...frames.entries()].toReversed()) {
    canvas.frame(frame, colorOf(detections[index]?.index ?? 0), line)
  }
  const places: Rectangle[] = []
  for (const [index, detection] of detections.entries()) {
    const frame = frames[index]
    if (frame === undefined) continue
    const text = textOf(detection)
    const others = frames.filter((other) => other !== frame)
    const place = placeOf(sizeOf(text, scale), frame, canvas, [...places, ...others])
    places.push(place)
    drawLabel(canvas, text, place, detection.index, scale)
  }
}

/** For example `face 0.99`. A label with letters that cannot be drawn becomes its number. */
export function textOf({ class: label, index, score }: Detection): string {
  const plain = label.normalize('NFD').replaceAll(/\p{M}/gu, '').replaceAll(/\s+/g, ' ').trim()
  const characters = Array.from(plain)
  const canDraw = plain !== '' && characters.every((one) => strokesOf(one) !== undefined)
  const shown = canDraw ? plain : `#${index}`
  const cut = shown.length > MAX_LABEL ? `${shown.slice(0, MAX_LABEL)}...` : shown
  return `${cut} ${Math.abs(score) < 100 ? score.toFixed(2) : score.toPrecision(3)}`
}

function sizeOf(text: string, scale: number): Size {
  const margin = Math.ceil(scale)
  const width = Math.ceil((text.length * ADVANCE - 1) * scale) + 2 * margin
  return { width, height: Math.ceil((GLYPH_HEIGHT - 1) * scale) + margin }
}

/**
 * Above the frame, below it, beside it or in it: the first place in the image that covers nothing
 * else, otherwise the one that covers least.
 */
function placeOf(
  { width, height }: Size,
  { left, top, width: frameWidth, height: frameHeight }: Rectangle,
  canvas: Canvas,
  taken: readonly Rectangle[],
): Rectangle {
  const within = (at: number, size: number, side: number): number =>
    Math.max(0, Math.min(at, side - size))
  const [right, bottom] = [left + frameWidth, top + frameHeight]
  const corners = [
    [left, top - height],
    [right - width, top - height],
    [left, bottom],
    [right - width, bottom],
    [right, top],
    [left - width, top],
    [left, top],
    [left, bottom - height],
  ] as const
  let best: Rectangle | undefined
  let least = Infinity
  for (const [x, y] of corners) {
    const place = {
      left: within(x, width, canvas.width),
      top: within(y, height, canvas.height),
      width,
      height,
    }
    const moved = Math.abs(place.left - x) + Math.abs(place.top - y)
    const covered = taken.reduce((sum, other) => sum + commonArea(place, other), moved)
    if (covered >= least) continue
    least = covered
    best = place
  }
  return best ?? { left, top, width, height }
}

function drawLabel(
  canvas: Canvas,
  text: string,
  place: Rectangle,
  index: number,
  scale: number,
): void {
  const color = colorOf(index)
  const margin = Math.ceil(scale)
  canvas.fillRectangle(place, color, 0.85)
  canvas.text(text, place.left + margin, place.top + margin, textColorOn(color), scale)
}

function commonArea(a: Rectangle, b: Rectangle): number {
  const width = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left)
  const height = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top)
  return Math.max(0, width) * Math.max(0, height)
}
