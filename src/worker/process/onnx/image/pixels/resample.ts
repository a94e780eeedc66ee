/**
 * Resizes 8-bit images with the algorithm of Pillow: a separable filter with fixed-point weights.
 * The results are the same bytes as those of `Image.resize`. libvips differs by up to several
 * levels, because it shrinks in two steps.
 */

/** Filters, with the names of Pillow. */
export type Kernel = 'nearest' | 'box' | 'bilinear' | 'hamming' | 'bicubic' | 'lanczos'

/** An image with 8-bit values, row by row. */
export interface Pixels {
  readonly data: Uint8Array
  readonly width: number
  readonly height: number
  readonly channels: number
}

/** Size of the whole resized image, and the part of it that is needed. */
export interface ResizeTarget {
  readonly width: number
  readonly height: number
  readonly left: number
  readonly top: number
  readonly visibleWidth: number
  readonly visibleHeight: number
}

/** Bits after the point of a weight. */
const PRECISION_BITS = 22
const HALF = 1 << (PRECISION_BITS - 1)

interface Filter {
  /** Distance from the centre, in pixels, beyond which the filter is 0. */
  readonly support: number
  readonly weight: (distance: number) => number
}

const FILTERS: Readonly<Record<Exclude<Kernel, 'nearest'>, Filter>> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: { support: 1, weight: hamming },
  bicubic: { support: 2, weight: bicubic },
  lanczos: {
    support: 3,
    weight: (x) => (x >= -3 && x < 3 ? normalizedSinc(x) * normalizedSinc(x / 3) : 0),
  },
}

/** For each visible position of one axis, the pixels that it is computed from. */
interface Axis {
  readonly starts: Int32Array
  readonly counts: Int32Array
  /** `size` weights for each position. */
  readonly weights: Int32Array
  readonly size: number
}

/** Resizes an image. The result has the visible part only. */
export function resample(
  image: Pixels,
  target: ResizeTarget,
  kernel: Kernel,
  antialias: boolean,
): Pixels {
  const { width, height, left, top, visibleWidth, visibleHeight } = target
  if (kernel === 'nearest') return pickNearest(image, target)
  const filter = FILTERS[kernel]
  const columns =
    image.width === width && left === 0 && visibleWidth === width
      ? undefined
      : axisOf([image.width, width], [left, visibleWidth], filter, antialias)
  const rows =
    image.height === height && top === 0 && visibleHeight === height
      ? undefined
      : axisOf([image.height, height], [top, visibleHeight], filter, antialias)
  const first = rows?.starts[0] ?? 0
  const last = rows ? endOf(rows) : image.height
  const narrow = columns ? resizeRows(image, columns, first, last) : image
  return rows ? resizeColumns(narrow, rows, columns ? first : 0) : narrow
}

function pickNearest(image: Pixels, target: ResizeTarget): Pixels {
  const { data, channels } = image
  const { visibleWidth, visibleHeight } = target
  const columns = nearestPixels(image.width, target.width, target.left, visibleWidth)
  const rows = nearestPixels(image.height, target.height, target.top, visibleHeight)
  const picked = new Uint8Array(visibleWidth * visibleHeight * channels)
  let at = 0
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * image.width + column) * channels
      for (let channel = 0; channel < channels; channel++) picked[at++] = data[from + channel] ?? 0
    }
  }
  return { data: picked, width: visibleWidth, height: visibleHeight, channels }
}

/** Adds up the position step by step as Pillow does, because rounding errors decide ties. */
function nearestPixels(from: number, to: number, start: number, count: number): Int32Array {
  const step = from / to
  const picked = new Int32Array(count)
  let position = step * 0.5
  for (let index = 0; index < start + count; index++, position += step) {
    if (index >= start) picked[index - start] = Math.min(from - 1, Math.trunc(position))
  }
  return picked
}

function axisOf(
  [from, to]: readonly [from: number, to: number],
  [start, count]: readonly [start: number, count: number],
  { support: own, weight }: Filter,
  antialias: boolean,
): Axis {
  const scale = from / to
  const widening = antialias ? Math.max(1, scale) : 1
  const support = own * widening
  const size = Math.ceil(support) * 2 + 1
  const starts = new Int32Array(count)
  const counts = new Int32Array(count)
  const weights = new Int32Array(count * size)
  const exact = new Float64Array(size)
  for (let index = 0; index < count; index++) {
    const center = (start + index + 0.5) * scale
    const first = Math.max(0, Math.trunc(center - support + 0.5))
    const used = Math.min(from, Math.trunc(center + support + 0.5)) - first
    let sum = 0
    for (let at = 0; at < used; at++) {
      exact[at] = weight((at + first - center + 0.5) / widening)
      sum += exact[at] ?? 0
    }
    for (let at = 0; at < used; at++) {
      const share = sum === 0 ? (exact[at] ?? 0) : (exact[at] ?? 0) / sum
      weights[index * size + at] = Math.trunc(
        share * (1 << PRECISION_BITS) + (share < 0 ? -0.5 : 0.5),
      )
    }
    starts[index] = first
    counts[index] = used
  }
  return { starts, counts, weights, size }
}

function endOf({ starts, counts }: Axis): number {
  return (starts.at(-1) ?? 0) + (counts.at(-1) ?? 0)
}

/** Resizes each row from `first` to before `last`. */
function resizeRows(image: Pixels, axis: Axis, first: number, last: number): Pixels {
  const { data, channels } = image
  const { starts, counts, weights, size } = axis
  const width = starts.length
  const height = last - first
  const resized = new Uint8ClampedArray(width * height * channels)
  let at = 0
  for (let row = first; row < last; row++) {
    const rowStart = row * image.width
    for (let column = 0; column < width; column++) {
      const from = (rowStart + (starts[column] ?? 0)) * channels
      const firstWeight = column * size
      const end = firstWeight + (counts[column] ?? 0)
      for (let channel = 0; channel < channels; channel++) {
        let sum = HALF
        let source = from + channel
        for (let index = firstWeight; index < end; index++, source += channels) {
          sum += Math.imul(data[source] ?? 0, weights[index] ?? 0)
        }
        resized[at++] = sum >> PRECISION_BITS
      }
    }
  }
  return { data: new Uint8Array(resized.buffer), width, height, channels }
}

/** Adds whole rows, which is faster than one column after the other. */
function resizeColumns(image: Pixels, axis: Axis, firstRow: number): Pixels {
  const { data, width, channels } = image
  const { starts, counts, weights, size } = axis
  const height = starts.length
  const length = width * channels
  const resized = new Uint8ClampedArray(length * height)
  const sums = new Int32Array(length)
  for (let row = 0; row < height; row++) {
    sums.fill(HALF)
    for (let index = 0; index < (counts[row] ?? 0); index++) {
      const weight = weights[row * size + index] ?? 0
      const from = ((starts[row] ?? 0) - firstRow + index) * length
      for (let at = 0; at < length; at++) {
        sums[at] = (sums[at] ?? 0) + Math.imul(data[from + at] ?? 0, weight)
      }
    }
    for (let at = 0; at < length; at++) {
      resized[row * length + at] = (sums[at] ?? 0) >> PRECISION_BITS
    }
  }
  return { data: new Uint8Array(resized.buffer), width, height, channels }
}

function normalizedSinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI)
}

function hamming(x: number): number {
  const distance = Math.abs(x)
  if (distance >= 1) return 0
  return normalizedSinc(distance) * (0.54 + 0.46 * Math.cos(distance * Math.PI))
}

/** Cubic convolution with a = -0.5. */
function bicubic(x: number): number {
  const a = -0.5
  const distance = Math.abs(x)
  if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * a
  return 0
}
