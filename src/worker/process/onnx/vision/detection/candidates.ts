/** Reads the raw outputs of a detector: a box, scores and classes for each anchor. */
import type { Tensor } from '../../tensors/tensor.ts'
import { columnsFrom, elementAt, matrixOf, numbersOf, partOf, transposed } from '../numbers.ts'
import type { Matrix, Numbers } from '../numbers.ts'
import { otherCount, otherShape } from '../task-errors.ts'
import { Shortlist } from './nms.ts'
import type { DetectionPlan } from './plan.ts'
import { HEADS, SELECTED_COLUMNS, hasAnchorsLast } from './yolo-format.ts'

/** The candidates of one image, the best first. */
export interface Candidates {
  /** The four numbers of a box for each anchor. */
  readonly boxes: Matrix
  readonly list: readonly Candidate[]
}

export interface Candidate {
  readonly anchor: number
  readonly score: number
  readonly modelClass: number
}

/**
 * Reads the candidates of each image whose score is above the threshold.
 * @param outputs The tensors of the plan's `outputNames`.
 * @throws ServerError when an output does not have one entry for each image.
 */
export function candidatesOf(
  plan: DetectionPlan,
  outputs: readonly Tensor[],
  images: number,
): readonly Candidates[] {
  const numbers = outputs.map((tensor) => imagesOf(tensor, images, plan))
  checkShapes(plan, outputs)
  return Array.from({ length: images }, (_, image) => {
    const parts = numbers.map((data) => partOf(data, images, image))
    switch (plan.format) {
      case 'yolov5':
      case 'yolov8':
        return fromYolo(plan, shapeOf(outputs), parts, HEADS[plan.format])
      case 'yolov10':
        return fromRows(plan, parts)
      case 'ssd':
      case 'detr':
        return fromScores(plan, shapeOf(outputs.slice(1)), parts)
      case 'selected':
        return fromSelected(plan, parts)
    }
  })
}

function imagesOf(tensor: Tensor, images: number, plan: DetectionPlan): Numbers {
  const { shape } = tensor
  // Boxes that are already selected have no batch dimension in TorchVision.
  const isForOne = plan.format === 'selected' && images === 1
  if (!isForOne && shape[0] !== images) {
    throw otherCount(shape, images)
  }
  return numbersOf(tensor)
}

/**
 * A model may declare no sizes, or others than it returns. Boxes would then be read from wrong
 * places.
 */
function checkShapes({ format }: DetectionPlan, outputs: readonly Tensor[]): void {
  const [first = [], second = []] = outputs.map(({ shape }) => shape)
  switch (format) {
    case 'yolov5':
    case 'yolov8': {
      if (first.length !== 3) throw otherShape(first, '[N,anchors,numbers] or [N,numbers,anchors]')
      return
    }
    case 'yolov10': {
      if (first.length !== 3 || first[2] !== SELECTED_COLUMNS)
        throw otherShape(first, '[N,detections,6]')
      return
    }
    case 'ssd':
    case 'detr': {
      if (first.length !== 3 || first[2] !== 4) throw otherShape(first, '[N,anchors,4]')
      if (second.length !== 3 || second[1] !== first[1])
        throw otherShape(second, `[N,${first[1] ?? 0},classes]`)
      return
    }
    case 'selected': {
      if (first.length < 2 || first.at(-1) !== 4) throw otherShape(first, '[N,K,4] or [K,4]')
    }
  }
}

function shapeOf([tensor]: readonly Tensor[]): readonly number[] {
  return tensor?.shape ?? []
}

function fromYolo(
  plan: DetectionPlan,
  shape: readonly number[],
  [data = new Float32Array()]: readonly Numbers[],
  head: number,
): Candidates {
  const rows = matrixOf(data, shape[2] ?? 0)
  const anchors = hasAnchorsLast(shape, head, plan.labels.length) ? transposed(rows) : rows
  const objectness =
    plan.format === 'yolov5' ? { ...columnsFrom(anchors, 4), columns: 1 } : undefined
  return bestOf(plan, anchors, columnsFrom(anchors, head), objectness)
}

function fromScores(
  plan: DetectionPlan,
  [, , classes = 0]: readonly number[],
  [boxData = new Float32Array(), scoreData = new Float32Array()]: readonly Numbers[],
): Candidates {
  const boxes = matrixOf(boxData, 4)
  const scores = matrixOf(scoreData, classes)
  return plan.format === 'detr' ? bestOf(plan, boxes, scores) : eachOf(plan, boxes, scores)
}

/** Each row is a box, a score and a class number. */
function fromRows(
  plan: DetectionPlan,
  [data = new Float32Array()]: readonly Numbers[],
): Candidates {
  const rows = matrixOf(data, SELECTED_COLUMNS)
  return given(plan, rows, columnsFrom(rows, 4), columnsFrom(rows, 5), rows.rows)
}

function fromSelected(
  plan: DetectionPlan,
  [boxData = new Float32Array(), scoreData = new Float32Array(), ...more]: readonly Numbers[],
): Candidates {
  const boxes = matrixOf(boxData, 4)
  const scores = matrixOf(scoreData, 1)
  const classes = plan.hasClasses ? matrixOf(more[0] ?? new Float32Array(), 1) : undefined
  const count = plan.hasCount ? (more.at(-1)?.[0] ?? 0) : boxes.rows
  return given(plan, boxes, scores, classes, Math.min(boxes.rows, count))
}

/** One candidate for each anchor: its best class. */
function bestOf(
  plan: DetectionPlan,
  boxes: Matrix,
  scores: Matrix,
  objectness?: Matrix,
): Candidates {
  const [first, end] = classRange(plan, scores.columns)
  const found = new Shortlist(plan.threshold)
  const row = new Float64Array(scores.columns)
  const classes = new Int32Array(boxes.rows)
  for (let anchor = 0; anchor < boxes.rows; anchor++) {
    readScores(plan, scores, anchor, row)
    let best = first
    for (let one = first + 1; one < end; one++) {
      if ((row[one] ?? 0) > (row[best] ?? 0) || Number.isNaN(row[best])) best = one
    }
    classes[anchor] = best
    const factor = objectness === undefined ? 1 : activated(plan, elementAt(objectness, anchor, 0))
    if (first < end) found.add(anchor, (row[best] ?? 0) * factor)
  }
  const list = found.sorted().map(({ number, score }) => ({
    anchor: number,
    score,
    modelClass: classes[number] ?? 0,
  }))
  return { boxes, list }
}

/** One candidate for each anchor and class. */
function eachOf(plan: DetectionPlan, boxes: Matrix, scores: Matrix): Candidates {
  const [first, end] = classRange(plan, scores.columns)
  const found = new Shortlist(plan.threshold)
  const row = new Float64Array(scores.columns)
  for (let anchor = 0; anchor < Math.min(boxes.rows, scores.rows); anchor++) {
    readScores(plan, scores, anchor, row)
    for (let one = first; one < end; one++) found.add(anchor * scores.columns + one, row[one] ?? 0)
  }
  const list = found.sorted().map(({ number, score }) => ({
    anchor: Math.floor(number / scores.columns),
    score,
    modelClass: number % scores.columns,
  }))
  return { boxes, list }
}

/** Detections whose class the model has chosen. */
function given(
  plan: DetectionPlan,
  boxes: Matrix,
  scores: Matrix,
  classes: Matrix | undefined,
  count: number,
): Candidates {
  const found = new Shortlist(plan.threshold)
  const classAt = (row: number): number =>
    classes === undefined ? 0 : Math.round(elementAt(classes, row, 0))
  const background = plan.background === 'first' && classes !== undefined ? 0 : -1
  for (let row = 0; row < count; row++) {
    const modelClass = classAt(row)
    if (!(modelClass >= 0) || modelClass === background || modelClass === Infinity) continue
    found.add(row, activated(plan, elementAt(scores, row, 0)))
  }
  const list = found.sorted().map(({ number, score }) => ({
    anchor: number,
    score,
    modelClass: classAt(number),
  }))
  return { boxes, list }
}

/** The columns of classes that are objects. */
function classRange({ background }: DetectionPlan, columns: number): readonly [number, number] {
  return [background === 'first' ? 1 : 0, background === 'last' ? columns - 1 : columns]
}

/** Reads the scores of an anchor into `target`, as probabilities. */
function readScores(
  plan: DetectionPlan,
  scores: Matrix,
  anchor: number,
  target: Float64Array,
): void {
  let highest = Number.NEGATIVE_INFINITY
  for (let one = 0; one < target.length; one++) {
    const score = elementAt(scores, anchor, one)
    target[one] = activated(plan, score)
    if (score > highest) highest = score
  }
  if (plan.activation !== 'softmax') return
  let sum = 0
  for (let one = 0; one < target.length; one++) {
    // The highest score is subtracted first, because `exp` would overflow.
    const power = Math.exp((target[one] ?? 0) - highest)
    target[one] = power
    sum += power
  }
  for (let one = 0; one < target.length; one++) target[one] = (target[one] ?? 0) / sum
}

function activated({ activation }: DetectionPlan, score: number): number {
  return activation === 'sigmoid' ? 1 / (1 + Math.exp(-score)) : score
}
