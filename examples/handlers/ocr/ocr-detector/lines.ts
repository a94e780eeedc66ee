/** Finds lines of text in a map that says of each pixel how likely it is a part of a text. */

export interface TextMap {
  readonly values: Float32Array
  readonly width: number
  readonly height: number
}

/** Left, top, right and bottom edge. */
export type Box = readonly [left: number, top: number, right: number, bottom: number]

export interface Line {
  readonly box: Box
  readonly score: number
}

/** A pixel above it is a part of a text. */
const PIXEL = 0.3
/** The mean of a line is above it. */
const LINE = 0.5
/** Pixels that a line has at least in both directions. */
const LEAST_SIDE = 3
/** The model marks the middle of a line; the box grows by this part of area and circumference. */
const GROWTH = 1.6

/** The lines in the order of reading. Their boxes are in pixels of the map. */
export function findLines(map: TextMap): Line[] {
  const marks = markText(map)
  const lines: Line[] = []
  for (let start = 0; start < marks.length; start++) {
    if (marks[start] !== 1) continue
    const { box, score } = takeRegion(marks, start, map)
    const isLarge = Math.min(box[2] - box[0], box[3] - box[1]) >= LEAST_SIDE
    if (isLarge && score >= LINE) lines.push({ box: grown(box, map), score })
  }
  return inReadingOrder(lines)
}

/** Each pixel also marks its neighbours to the right and below, which closes small gaps. */
function markText({ values, width, height }: TextMap): Uint8Array {
  const marks = new Uint8Array(width * height)
  for (let place = 0; place < marks.length; place++) {
    if ((values[place] ?? 0) <= PIXEL) continue
    const isLast = place % width === width - 1
    for (const next of isLast ? [0, width] : [0, 1, width, width + 1]) {
      if (place + next < marks.length) marks[place + next] = 1
    }
  }
  return marks
}

/** Returns the box and the mean of the pixels around the first one, and removes their marks. */
function takeRegion(marks: Uint8Array, start: number, { values, width, height }: TextMap): Line {
  let [left, top, right, bottom] = [width, height, 0, 0]
  let [sum, count] = [0, 0]
  const waiting = [start]
  marks[start] = 0
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    const [x, y] = [place % width, Math.floor(place / width)]
    left = Math.min(left, x)
    top = Math.min(top, y)
    right = Math.max(right, x + 1)
    bottom = Math.max(bottom, y + 1)
    sum += values[place] ?? 0
    count += 1
    for (let nextY = Math.max(0, y - 1); nextY <= Math.min(height - 1, y + 1); nextY++) {
      for (let nextX = Math.max(0, x - 1); nextX <= Math.min(width - 1, x + 1); nextX++) {
        const next = nextY * width + nextX
        if (marks[next] !== 1) continue
        marks[next] = 0
        waiting.push(next)
      }
    }
  }
  return { box: [left, top, right, bottom], score: sum / count }
}

function grown([left, top, right, bottom]: Box, { width, height }: TextMap): Box {
  const [across, down] = [right - left, bottom - top]
  const more = (across * down * GROWTH) / (2 * (across + down))
  return [
    Math.max(0, left - more),
    Math.max(0, top - more),
    Math.min(width, right + more),
    Math.min(height, bottom + more),
  ]
}

/** From top to bottom, and from left to right where lines stand beside each other. */
function inReadingOrder(lines: readonly Line[]): Line[] {
  const rows: Line[][] = []
  for (const line of lines.toSorted((one, other) => one.box[1] - other.box[1])) {
    const row = rows.at(-1)
    const middle = (line.box[1] + line.box[3]) / 2
    if (row?.[0] !== undefined && middle < row[0].box[3]) row.push(line)
    else rows.push([line])
  }
  return rows.flatMap((row) => row.toSorted((one, other) => one.box[0] - other.box[0]))
}
