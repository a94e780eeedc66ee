/**
 * Where the pixels of an image come to lie in the model's input. The same numbers lead back from
 * the coordinates that a detector returns to the pixels of the image.
 */

/** The rules that decide the size of a resized image and its place. */
export interface Geometry {
  /** Size of the input; `undefined` where the model takes any size. */
  readonly width: number | undefined
  readonly height: number | undefined
  readonly fit: 'fill' | 'cover' | 'contain'
  readonly cropPct: number
  /** Size after resizing. It replaces `fit` and `cropPct`. */
  readonly resize: ResizeRule | undefined
  readonly cropRounding: 'even' | 'floor'
  readonly padPosition: 'center' | 'top-left'
}

/** Either both sides, or the shorter or longer one with the aspect ratio kept. */
export interface ResizeRule {
  readonly width?: number
  readonly height?: number
  readonly shortestEdge?: number
  readonly longestEdge?: number
}

/** The place of one image. All numbers are pixels. */
export interface Placement {
  /** Size of the image, after its EXIF orientation was applied. */
  readonly sourceWidth: number
  readonly sourceHeight: number
  /** Size after resizing. */
  readonly resizedWidth: number
  readonly resizedHeight: number
  /** Position of the resized image in the input. It is negative where the image is cropped. */
  readonly left: number
  readonly top: number
  /** Size of the input. */
  readonly width: number
  readonly height: number
}

/** Computes the place of an image of this size. */
export function placeImage(
  sourceWidth: number,
  sourceHeight: number,
  geometry: Geometry,
): Placement {
  const [resizedWidth, resizedHeight] = resizedSize(sourceWidth, sourceHeight, geometry)
  const { width = resizedWidth, height = resizedHeight } = geometry
  return {
    sourceWidth,
    sourceHeight,
    resizedWidth,
    resizedHeight,
    left: offsetOf(width - resizedWidth, geometry),
    top: offsetOf(height - resizedHeight, geometry),
    width,
    height,
  }
}

/**
 * Maps a horizontal coordinate of the input to the image. Coordinates count from the left edge of
 * the first pixel, so the centre of that pixel is 0.5. The result may lie outside of the image.
 */
export function sourceX(x: number, { left, sourceWidth, resizedWidth }: Placement): number {
  return ((x - left) * sourceWidth) / resizedWidth
}

/** Maps a vertical coordinate of the input to the image, see {@link sourceX}. */
export function sourceY(y: number, { top, sourceHeight, resizedHeight }: Placement): number {
  return ((y - top) * sourceHeight) / resizedHeight
}

type Size = readonly [width: number, height: number]

function resizedSize(width: number, height: number, geometry: Geometry): Size {
  const { resize } = geometry
  if (resize === undefined) return fittedSize(width, height, geometry)
  const { shortestEdge, longestEdge } = resize
  if (shortestEdge !== undefined) return byShortestEdge(width, height, shortestEdge, longestEdge)
  if (longestEdge === undefined) return [resize.width ?? width, resize.height ?? height]
  const scale = longestEdge / Math.max(width, height)
  return [atLeastOne(Math.round(width * scale)), atLeastOne(Math.round(height * scale))]
}

/** The longer side is cut off to an integer, as in torchvision and Hugging Face. */
function byShortestEdge(width: number, height: number, shortest: number, longest?: number): Size {
  const [short, long] = width < height ? [width, height] : [height, width]
  let exact = shortest
  if (longest !== undefined && (long / short) * shortest > longest) exact = (longest * short) / long
  const newShort = atLeastOne(exact === shortest ? shortest : roundToEven(exact))
  const newLong = atLeastOne(Math.trunc((exact * long) / short))
  return width < height ? [newShort, newLong] : [newLong, newShort]
}

function fittedSize(width: number, height: number, geometry: Geometry): Size {
  const { fit, cropPct } = geometry
  const wantedWidth = Math.floor((geometry.width ?? width) / cropPct)
  const wantedHeight = Math.floor((geometry.height ?? height) / cropPct)
  if (fit === 'fill') return [wantedWidth, wantedHeight]
  if (fit === 'cover' && wantedWidth === wantedHeight)
    return byShortestEdge(width, height, wantedWidth)
  const ratios = [(geometry.width ?? width) / width, (geometry.height ?? height) / height]
  if (fit === 'contain') {
    const scale = Math.min(...ratios)
    return [atLeastOne(roundToEven(width * scale)), atLeastOne(roundToEven(height * scale))]
  }
  const scale = Math.max(wantedWidth / width, wantedHeight / height)
  return [
    Math.max(wantedWidth, Math.round(width * scale)),
    Math.max(wantedHeight, Math.round(height * scale)),
  ]
}

function offsetOf(space: number, { cropRounding, padPosition }: Geometry): number {
  if (space >= 0) return padPosition === 'center' ? Math.floor(space / 2) : 0
  const cut = -space / 2
  return 0 - (cropRounding === 'even' ? roundToEven(cut) : Math.floor(cut))
}

/** Rounds as Python does: halves to the next even number. */
function roundToEven(value: number): number {
  const floor = Math.floor(value)
  if (value - floor !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}

function atLeastOne(value: number): number {
  return Math.max(1, value)
}
