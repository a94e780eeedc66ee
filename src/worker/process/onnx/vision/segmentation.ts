/** Turns the outputs of a segmenter into a class for each pixel of the client's image. */
import type { TaskSettings } from '../../../../model-folder/task-settings.ts'
import { quote, specListText, specText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import type { PixelMap } from './geometry.ts'
import { numbersOf, partOf } from './numbers.ts'
import type { Numbers } from './numbers.ts'
import { invalidTask, otherCount, otherShape } from './task-errors.ts'

/** A mask has one byte for each pixel. */
const MAX_CLASSES = 256
const DEFAULT_THRESHOLD = 0.5

export interface SegmentationPlan {
  readonly output: string
  /**
   * `scores` of the classes, the highest wins; a `mask` of probabilities, which becomes class 1; or
   * the `classes` themselves.
   */
  readonly kind: 'scores' | 'mask' | 'classes'
  readonly hasChannelsLast: boolean
  readonly activation: 'none' | 'sigmoid'
  readonly threshold: number
  /** Whether class 0 means that there is no object. */
  readonly hasBackground: boolean
  /** The name of each class, with that of the background. */
  readonly labels: readonly string[]
}

/** Classes of the pixels of an image, row by row. */
export interface Mask {
  readonly width: number
  readonly height: number
  readonly classes: Uint8Array
}

/** The part of an image that belongs to a class. */
export interface Area {
  readonly class: string
  /** The value of the class in the mask. */
  readonly index: number
  readonly pixels: number
  /** Part of the pixels of the image, from 0 to 1. */
  readonly share: number
}

/** @throws ServerError `InvalidModelException` when no output can be a mask. */
export function planSegmentation(
  specs: readonly TensorSpec[],
  settings: TaskSettings,
  labels: readonly string[],
  output?: string,
): SegmentationPlan {
  const spec = chooseOutput(specs, output)
  const [, second = -1, , fourth = -1] = spec.shape
  const hasBackground = settings.background !== 'none'
  if (spec.shape.length === 3) {
    const names = namesOf(labels, hasBackground, undefined)
    return {
      ...common(spec, settings),
      kind: 'classes',
      hasChannelsLast: false,
      hasBackground,
      labels: names,
    }
  }
  const isChannels = (size: number): boolean =>
    size === 1 || (labels.length > 0 && [labels.length, labels.length + 1].includes(size))
  const hasChannelsLast = !isChannels(second) && isChannels(fourth)
  const channels = hasChannelsLast ? fourth : second
  if (channels > MAX_CLASSES) {
    throw invalidTask(`output ${quote(spec.name)} has more than ${MAX_CLASSES} classes`)
  }
  const classes = channels === 1 ? 2 : channels
  const isCounted = classes < 0 || labels.length === 0 || labels.length === classes
  if (!isCounted && !(hasBackground && labels.length === classes - 1)) {
    throw invalidTask(
      `output ${quote(spec.name)} has ${classes} classes, but there are ${labels.length} labels`,
    )
  }
  return {
    ...common(spec, settings),
    kind: channels === 1 ? 'mask' : 'scores',
    hasChannelsLast,
    hasBackground,
    labels: namesOf(labels, hasBackground, classes < 0 ? undefined : classes),
  }
}

/** The mask of each image, in its size. Each pixel has the class of the nearest cell. */
export function masksOf(
  plan: SegmentationPlan,
  output: Tensor,
  maps: readonly PixelMap[],
): readonly Mask[] {
  const { shape } = output
  if (shape[0] !== maps.length) throw otherCount(shape, maps.length)
  if (shape.length !== (plan.kind === 'classes' ? 3 : 4))
    throw otherShape(shape, plan.kind === 'classes' ? '[N,H,W]' : '[N,classes,H,W]')
  const data = numbersOf(output)
  const [, a = 0, b = 0, c = 0] = shape
  const [channels, height, width] =
    shape.length === 3 ? [1, a, b] : plan.hasChannelsLast ? [c, a, b] : [a, b, c]
  return maps.map((map, image) => {
    const cells = cellClasses(plan, partOf(data, maps.length, image), channels, height * width)
    return enlarged({ width, height, classes: cells }, map)
  })
}

/** The classes in the mask, the largest first. */
export function areasOf({ classes }: Mask, labels: readonly string[]): readonly Area[] {
  const counts = new Float64Array(MAX_CLASSES)
  for (const one of classes) counts[one] = (counts[one] ?? 0) + 1
  return [...counts.keys()]
    .filter((index) => (counts[index] ?? 0) > 0)
    .toSorted((a, b) => (counts[b] ?? 0) - (counts[a] ?? 0) || a - b)
    .map((index) => {
      const pixels = counts[index] ?? 0
      const share = Number((pixels / classes.length).toFixed(6))
      return { class: labels[index] ?? String(index), index, pixels, share }
    })
}

function common(
  { name }: TensorSpec,
  { activation, threshold }: TaskSettings,
): Pick<SegmentationPlan, 'output' | 'activation' | 'threshold'> {
  return {
    output: name,
    activation: activation === 'sigmoid' ? 'sigmoid' : 'none',
    threshold: threshold ?? DEFAULT_THRESHOLD,
  }
}

function chooseOutput(specs: readonly TensorSpec[], name: string | undefined): TensorSpec {
  const isMask = ({ datatype, shape }: TensorSpec): boolean =>
    datatype !== 'BYTES' && (shape.length === 3 || shape.length === 4)
  const [only, ...others] =
    name === undefined ? specs.filter(isMask) : specs.filter((spec) => spec.name === name)
  if (only !== undefined && others.length === 0) {
    if (isMask(only)) return only
    throw invalidTask(
      `output ${quote(only.name)}, ${specText(only)}, cannot be a mask; it must be [N,classes,H,W] or [N,H,W]`,
    )
  }
  throw invalidTask(
    `set "output" to the output with the mask, [N,classes,H,W] or [N,H,W]; the model has ${specListText(specs)}`,
  )
}

/** Names of all classes. A list without the background gets one. */
function namesOf(
  labels: readonly string[],
  hasBackground: boolean,
  classes: number | undefined,
): readonly string[] {
  const isShort = classes !== undefined && labels.length === classes - 1
  return hasBackground && labels.length > 0 && isShort ? ['background', ...labels] : labels
}

function cellClasses(
  plan: SegmentationPlan,
  data: Numbers,
  channels: number,
  cells: number,
): Uint8Array {
  const classes = new Uint8Array(cells)
  if (plan.kind === 'scores') {
    const [step, next] = plan.hasChannelsLast ? [channels, 1] : [1, cells]
    for (let cell = 0; cell < cells; cell++)
      classes[cell] = highestAt(data, cell * step, next, channels)
    return classes
  }
  for (let cell = 0; cell < cells; cell++) {
    const value = data[cell] ?? 0
    classes[cell] = plan.kind === 'mask' ? Number(isIn(plan, value)) : classIn(value)
  }
  return classes
}

/** The channel with the highest score; the first of equal ones. NaN never wins. */
function highestAt(data: Numbers, start: number, next: number, channels: number): number {
  let best = 0
  let highest = Number.NEGATIVE_INFINITY
  for (let channel = 0; channel < Math.min(channels, MAX_CLASSES); channel++) {
    const score = data[start + channel * next] ?? NaN
    if (score > highest) {
      highest = score
      best = channel
    }
  }
  return best
}

function isIn({ activation, threshold }: SegmentationPlan, value: number): boolean {
  return (activation === 'sigmoid' ? 1 / (1 + Math.exp(-value)) : value) > threshold
}

/** A number that is no class, such as NaN or 1000, is class 0. */
function classIn(value: number): number {
  const whole = Math.round(value)
  return whole >= 0 && whole < MAX_CLASSES ? whole : 0
}

/** Pixels that the model did not see, because the image was cropped, are class 0. */
function enlarged({ width, height, classes }: Mask, map: PixelMap): Mask {
  const { original, input } = map
  const [left, top] = map.toOriginal(0, 0)
  const [right, bottom] = map.toOriginal(input.width, input.height)
  const columns = cellsOf(original.width, left, right, width)
  const rows = cellsOf(original.height, top, bottom, height)
  const target = new Uint8Array(original.width * original.height)
  for (let y = 0; y < rows.length; y++) {
    const row = rows[y] ?? -1
    const start = y * original.width
    if (row < 0) continue
    if (row === rows[y - 1]) {
      target.copyWithin(start, start - original.width, start)
      continue
    }
    for (let x = 0; x < columns.length; x++) {
      const column = columns[x] ?? -1
      if (column >= 0) target[start + x] = classes[row * width + column] ?? 0
    }
  }
  return { width: original.width, height: original.height, classes: target }
}

/** For each pixel along an axis, the cell at its centre; -1 for none. */
function cellsOf(pixels: number, from: number, to: number, cells: number): Int32Array {
  return Int32Array.from({ length: pixels }, (_, pixel) => {
    const cell = Math.floor(((pixel + 0.5 - from) / (to - from)) * cells)
    return cell >= 0 && cell < cells ? cell : -1
  })
}
