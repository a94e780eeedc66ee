import { toShortSingle } from '../../image/classes.ts'
/** Turns the outputs of a detector into detections in pixels of the client's image. */
import type { Tensor } from '../../tensors/tensor.ts'
import type { PixelMap } from '../geometry.ts'
import { elementAt } from '../numbers.ts'
import type { Matrix } from '../numbers.ts'
import { candidatesOf } from './candidates.ts'
import type { Candidates } from './candidates.ts'
import { suppress } from './nms.ts'
import type { ScoredBox } from './nms.ts'
import type { BoxForm, DetectionPlan } from './plan.ts'

type Corners = ScoredBox['box']

/** One object in an image. */
export interface Detection {
  /** The label, or the index as text when the model has no labels. */
  readonly class: string
  /** Place in the list of labels, or the class number of the model when it has no labels. */
  readonly index: number
  readonly score: number
  /** Left, top, right and bottom edge in pixels of the image. */
  readonly box: Corners
}

/**
 * Returns the detections of each image, the highest score first. Boxes are clipped to the image;
 * boxes outside it, without area or with numbers that are not finite are dropped.
 * @param maps One for each image.
 */
export function detect(
  plan: DetectionPlan,
  outputs: readonly Tensor[],
  maps: readonly PixelMap[],
): readonly (readonly Detection[])[] {
  const all = candidatesOf(plan, outputs, maps.length)
  return maps.map((map, image) => {
    const candidates = all[image]
    return candidates === undefined ? [] : detectionsIn(plan, candidates, map)
  })
}

function detectionsIn(
  plan: DetectionPlan,
  candidates: Candidates,
  map: PixelMap,
): readonly Detection[] {
  return suppress(validBoxes(plan, candidates, map), plan).flatMap(({ box, score, classIndex }) => {
    const index = classIndex + plan.labelShift
    const label = plan.labels[index] ?? String(index)
    const edges = clipped(map, box)
    return [{ class: label, index, score: toShortSingle(score), box: edges }]
  })
}

function* validBoxes(
  plan: DetectionPlan,
  { boxes, list }: Candidates,
  map: PixelMap,
): Generator<ScoredBox> {
  const scaleX = plan.isNormalized ? map.input.width : 1
  const scaleY = plan.isNormalized ? map.input.height : 1
  for (const { anchor, score, modelClass } of list) {
    const [x1, y1, x2, y2] = cornersOf(boxes, anchor, plan.boxForm)
    const box = [x1 * scaleX, y1 * scaleY, x2 * scaleX, y2 * scaleY] as const
    if (isVisible(map, box)) yield { box, score, classIndex: modelClass }
  }
}

function cornersOf(boxes: Matrix, anchor: number, form: BoxForm): Corners {
  const a = elementAt(boxes, anchor, 0)
  const b = elementAt(boxes, anchor, 1)
  const c = elementAt(boxes, anchor, 2)
  const d = elementAt(boxes, anchor, 3)
  switch (form) {
    case 'corners':
      return [a, b, c, d]
    case 'corners-yx':
      return [b, a, d, c]
    case 'centers':
      return [a - c / 2, b - d / 2, a + c / 2, b + d / 2]
    case 'sizes':
      return [a, b, a + c, b + d]
  }
}

/** Whether the box has an area, and a part of it lies in the image. */
function isVisible(map: PixelMap, box: Corners): boolean {
  if (!box.every((edge) => Number.isFinite(edge)) || box[2] <= box[0] || box[3] <= box[1])
    return false
  const [left, top, right, bottom] = clipped(map, box)
  return right > left && bottom > top
}

function clipped(map: PixelMap, [x1, y1, x2, y2]: Corners): Corners {
  const { width, height } = map.original
  const [left, top] = map.toOriginal(x1, y1)
  const [right, bottom] = map.toOriginal(x2, y2)
  return [clamp(left, width), clamp(top, height), clamp(right, width), clamp(bottom, height)]
}

/** A hundredth of a pixel is enough, and saves digits. */
function clamp(value: number, most: number): number {
  return Math.round(Math.min(Math.max(value, 0), most) * 100) / 100
}
