/** Draws detections on an image: a frame, and a label with the score. */
import type { Detection } from '../detection/detect.ts'
import type { Size } from '../geometry.ts'
import type { Canvas, Rectangle } from './canvas.ts'
import { colorOf } from './colors.ts'
import { drawLabel, drawableName, labelSize, textScale } from './label.ts'

/** How much worse it is to cover a label than a small frame. */
const LABEL_COST = 4
/** Pixels of the shorter side of an image for each pixel of a frame's line. */
const PIXELS_PER_LINE = 220

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
  const scale = textScale(canvas)
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
    const place = placeOf(labelSize(text, scale), frame, canvas, { labels: places, frames: others })
    places.push(place)
    drawLabel(canvas, text, place, colorOf(detection.index))
  }
}

/** For example `face 0.99`. */
export function textOf({ class: label, index, score }: Detection): string {
  const number = Math.abs(score) < 100 ? score.toFixed(2) : score.toPrecision(3)
  return `${drawableName(label, index)} ${number}`
}

/** What a label should not cover. */
interface Taken {
  readonly labels: readonly Rectangle[]
  readonly frames: readonly Rectangle[]
}

/**
 * Above the frame, below it, beside it or in it: the first place in the image that covers nothing
 * else, otherwise the one that covers least.
 */
function placeOf(
  { width, height }: Size,
  { left, top, width: frameWidth, height: frameHeight }: Rectangle,
  canvas: Canvas,
  taken: Taken,
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
    // In tenths of a label, so that little overlap does not move a label away from the top.
    const covered = Math.floor((10 * (moved + coverCost(place, taken))) / (width * height))
    if (covered >= least) continue
    least = covered
    best = place
  }
  return best ?? { left, top, width, height }
}

/** Covering a part of a large frame does little harm, covering another label the most. */
function coverCost(place: Rectangle, { labels, frames }: Taken): number {
  const area = place.width * place.height
  let cost = 0
  for (const label of labels) cost += LABEL_COST * commonArea(place, label)
  for (const frame of frames) {
    const part = Math.min(1, area / (frame.width * frame.height))
    cost += commonArea(place, frame) * part
  }
  return cost
}

function commonArea(a: Rectangle, b: Rectangle): number {
  const width = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left)
  const height = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top)
  return Math.max(0, width) * Math.max(0, height)
}
