/** Reads the outputs of CenterFace: for each fourth pixel the score of a face with its middle there. */

/** A plane of numbers for each channel. */
export interface Planes {
  readonly data: Float32Array
  readonly dims: readonly number[]
}

/** Left, top, right and bottom edge. */
export type Box = readonly [left: number, top: number, right: number, bottom: number]

export interface Face {
  readonly box: Box
  readonly score: number
}

/** Pixels of the input for each number of the outputs. */
const STRIDE = 4
const LEAST_SCORE = 0.5
/** Of two boxes that share more than this part of their area, the better one is a face. */
const MOST_OVERLAP = 0.3

/**
 * The faces, the most certain one first. Their boxes are in pixels of the input.
 * @param scores One channel.
 * @param sizes The logarithms of height and width.
 * @param offsets The distances of the middle to its place, down and to the right.
 */
export function findFaces(scores: Planes, sizes: Planes, offsets: Planes): Face[] {
  const [, , rows = 0, columns = 0] = scores.dims
  const count = rows * columns
  const candidates: Face[] = []
  for (let place = 0; place < count; place++) {
    const score = scores.data[place] ?? 0
    if (score < LEAST_SCORE) continue
    const [height, width] = [place, count + place].map(
      (at) => Math.exp(sizes.data[at] ?? 0) * STRIDE,
    )
    const [down, right] = [place, count + place].map((at) => offsets.data[at] ?? 0)
    if (height === undefined || width === undefined) continue
    const x = ((place % columns) + (right ?? 0) + 0.5) * STRIDE
    const y = (Math.floor(place / columns) + (down ?? 0) + 0.5) * STRIDE
    candidates.push({ score, box: [x - width / 2, y - height / 2, x + width / 2, y + height / 2] })
  }
  const faces: Face[] = []
  for (const one of candidates.toSorted((a, b) => b.score - a.score)) {
    if (faces.every((face) => overlap(face.box, one.box) <= MOST_OVERLAP)) faces.push(one)
  }
  return faces
}

/** The common area of two boxes, divided by the area of both. */
function overlap(one: Box, other: Box): number {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0])
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1])
  const common = Math.max(0, width) * Math.max(0, height)
  return common / (areaOf(one) + areaOf(other) - common)
}

function areaOf([left, top, right, bottom]: Box): number {
  return (right - left) * (bottom - top)
}
