import sharp from 'sharp'
import type { OverlayOptions } from 'sharp'
import type { Box } from './find-faces.ts'

const COLOR = '#39ff14'
/** Pixels of the shorter side of the image for each pixel of a line. */
const PIXELS_PER_LINE = 160

/** Draws a frame around each box: four lines, which are images of one color. Returns a JPEG. */
export async function drawBoxes(image: Buffer, boxes: readonly Box[]): Promise<Buffer> {
  const upright = await sharp(image)
    .autoOrient()
    .flatten({ background: 'white' })
    .toBuffer({ resolveWithObject: true })
  const { width, height } = upright.info
  const line = Math.max(2, Math.round(Math.min(width, height) / PIXELS_PER_LINE))
  const lines = boxes.flatMap(([left, top, right, bottom]) =>
    [
      [left, top, right, top + line],
      [left, bottom - line, right, bottom],
      [left, top, left + line, bottom],
      [right - line, top, right, bottom],
    ].flatMap((edges) => lineWithin(edges, width, height)),
  )
  return sharp(upright.data).composite(lines).jpeg().toBuffer()
}

/** The part of a line that lies in the image. */
function lineWithin(edges: readonly number[], width: number, height: number): OverlayOptions[] {
  const [left = 0, top = 0, right = 0, bottom = 0] = edges.map((edge, index) =>
    Math.min(index % 2 === 0 ? width : height, Math.max(0, Math.round(edge))),
  )
  if (right <= left || bottom <= top) return []
  const create = {
    width: right - left,
    height: bottom - top,
    channels: 3,
    background: COLOR,
  } as const
  return [{ input: { create }, left, top }]
}
