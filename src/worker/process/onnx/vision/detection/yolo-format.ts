/** The formats of YOLO, which differ in their shapes only. */
import { quote, specText } from '../../tensors/error-text.ts'
import type { TensorSpec } from '../../tensors/metadata.ts'
import { invalidTask } from '../task-errors.ts'
import type { DetectionOutputs } from './format.ts'

type YoloFormat = 'yolov5' | 'yolov8' | 'yolov10'

/** Numbers before the scores of the classes: a box, and in YOLOv5 whether there is an object. */
export const HEADS: Readonly<Record<'yolov5' | 'yolov8', number>> = { yolov5: 5, yolov8: 4 }
/** A box, a score and a class number. */
export const SELECTED_COLUMNS = 6
/** YOLOv10 returns 300 detections by default. More are anchors. */
const MAX_SELECTED = 1000

/**
 * The format of a YOLO output: [N,anchors,5+classes] is YOLOv5, [N,4+classes,anchors] is YOLOv8,
 * [N,detections,6] is YOLOv10.
 * @throws ServerError `InvalidModelException` when several formats or none have this shape.
 */
export function yoloOutputs(
  output: TensorSpec,
  declared: YoloFormat | 'yolo',
  labels: readonly string[],
): DetectionOutputs {
  const format = declared === 'yolo' ? guessYolo(output, labels.length) : declared
  const columns = output.shape[2] ?? -1
  const isOther = format === 'yolov10' && columns >= 0 && columns !== SELECTED_COLUMNS
  if (format === undefined || output.shape.length !== 3 || isOther)
    throw unclear(output, labels.length)
  return {
    format,
    outputNames: [output.name],
    hasClasses: false,
    hasCount: false,
    scores: output.name,
    classes: format === 'yolov10' ? undefined : classesOf(output, format, labels.length),
  }
}

/**
 * Whether the second dimension has the numbers of one anchor and the third one the anchors: the
 * number of labels decides, else there are more anchors than numbers.
 */
export function hasAnchorsLast(
  [, second = 0, third = 0]: readonly number[],
  head: number,
  labels: number,
): boolean {
  if (labels > 0 && (second === head + labels) !== (third === head + labels))
    return second === head + labels
  return second < third
}

function guessYolo(
  { shape: [, second = -1, third = -1] }: TensorSpec,
  labels: number,
): YoloFormat | undefined {
  const maySelect = third === SELECTED_COLUMNS && second <= MAX_SELECTED
  if (labels > 0) {
    const fitting: YoloFormat[] = []
    if (third === HEADS.yolov5 + labels) fitting.push('yolov5')
    if (second === HEADS.yolov8 + labels || third === HEADS.yolov8 + labels) fitting.push('yolov8')
    if (maySelect) fitting.push('yolov10')
    const [only, ...others] = fitting
    return others.length === 0 ? only : undefined
  }
  if (maySelect) return undefined
  const isV5 = third > HEADS.yolov5 && (second < 0 || second > third)
  const isV8 = second > HEADS.yolov8 && (third < 0 || third > second)
  return isV5 ? 'yolov5' : isV8 ? 'yolov8' : undefined
}

function classesOf(
  { shape }: TensorSpec,
  format: 'yolov5' | 'yolov8',
  labels: number,
): number | undefined {
  const [, second = -1, third = -1] = shape
  const head = HEADS[format]
  if (second < 0 && third < 0) return undefined
  if (second < 0 || third < 0) return Math.max(second, third) - head
  return (hasAnchorsLast(shape, head, labels) ? second : third) - head
}

function unclear(output: TensorSpec, labels: number): Error {
  const name = `output ${quote(output.name)}, ${specText(output)},`
  const known = labels > 0 ? ` with ${labels} labels` : ''
  return invalidTask(
    `${name} does not show the format of the detections${known}; set "format" to yolov5 for [N,anchors,5+classes], yolov8 for [N,4+classes,anchors], yolov10 for [N,detections,6], or to ssd, detr or selected`,
  )
}
