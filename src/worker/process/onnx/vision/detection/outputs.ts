/** Finds the outputs of a detector, and the format of its detections, by names and shapes. */
import type { TaskSettings } from '../../../../../model-folder/task-settings.ts'
import { quote, specListText } from '../../tensors/error-text.ts'
import type { TensorSpec } from '../../tensors/metadata.ts'
import { invalidTask } from '../task-errors.ts'
import type { DetectionOutputs } from './format.ts'
import { yoloOutputs } from './yolo-format.ts'

const BOX_NAME = /box/i
const SCORE_NAME = /scor|conf|prob/i
const CLASS_NAME = /label|class|cls/i
const COUNT_NAME = /num|count|valid/i
const SCORES_NAME = /scor|conf|prob|logits|class|cls/i
const DETR_NAME = /logits|pred_boxes/i
const FORMATS = 'yolov5, yolov8, yolov10, ssd, detr or selected'

/** @throws ServerError `InvalidModelException` that says what `model.json` must declare. */
export function detectionOutputs(
  specs: readonly TensorSpec[],
  settings: TaskSettings,
  labels: readonly string[],
  output?: string,
): DetectionOutputs {
  const format = settings.format ?? guessFormat(specs, settings, output)
  if (format === undefined) {
    throw invalidTask(
      `the outputs ${specListText(specs)} do not show the format of the detections; set "format" to ${FORMATS}`,
    )
  }
  switch (format) {
    case 'yolo':
    case 'yolov5':
    case 'yolov8':
    case 'yolov10':
      return yoloOutputs(onlyOutput(specs, output), format, labels)
    case 'ssd':
    case 'detr':
      return boxesAndScores(specs, settings, format)
    case 'selected':
      return selectedOutputs(specs, settings)
  }
}

function guessFormat(
  specs: readonly TensorSpec[],
  settings: TaskSettings,
  output: string | undefined,
): 'yolo' | 'ssd' | 'detr' | 'selected' | undefined {
  const tensors = specs.filter(({ datatype }) => datatype !== 'BYTES')
  if (output !== undefined || tensors.length === 1) return 'yolo'
  const boxes = boxesOf(tensors, settings)
  if (boxes === undefined) return undefined
  const others = tensors.filter((spec) => spec !== boxes)
  const perBox = boxes.shape.length - 1
  const isPerBox = (spec: TensorSpec): boolean => spec.shape.length === perBox
  const hasScore = others.some((spec) => isPerBox(spec) && isFloat(spec))
  if (others.length > 1 && others.filter(isPerBox).length > 1 && hasScore) return 'selected'
  const scores = scoresOf(tensors, settings, boxes)
  if (scores?.shape.length !== 3) return undefined
  if (DETR_NAME.test(boxes.name) || DETR_NAME.test(scores.name)) return 'detr'
  return SCORE_NAME.test(scores.name) || CLASS_NAME.test(scores.name) ? 'ssd' : undefined
}

function boxesAndScores(
  specs: readonly TensorSpec[],
  settings: TaskSettings,
  format: 'ssd' | 'detr',
): DetectionOutputs {
  const boxes = boxesOf(specs, settings) ?? missing('boxes', specs)
  const scores = scoresOf(specs, settings, boxes) ?? missing('scores', specs)
  if (boxes.shape.length !== 3 || scores.shape.length !== 3) {
    throw invalidTask(
      `format "${format}" needs boxes [N,anchors,4] and scores [N,anchors,classes]; the model has ${specListText(specs)}`,
    )
  }
  return {
    format,
    outputNames: [boxes.name, scores.name],
    hasClasses: false,
    hasCount: false,
    scores: scores.name,
    classes: sizeOf(scores.shape[2]),
  }
}

function selectedOutputs(specs: readonly TensorSpec[], settings: TaskSettings): DetectionOutputs {
  const boxes = boxesOf(specs, settings) ?? missing('boxes', specs)
  const perBox = specs.filter(
    (spec) =>
      spec !== boxes && spec.datatype !== 'BYTES' && spec.shape.length === boxes.shape.length - 1,
  )
  const isCount = ({ name }: TensorSpec): boolean => COUNT_NAME.test(name)
  const floats = perBox.filter((spec) => isFloat(spec) && !isCount(spec))
  const scores =
    named(specs, settings.scoresOutput) ??
    only(floats) ??
    only(floats.filter(({ name }) => SCORE_NAME.test(name))) ??
    missing('scores', specs)
  const rest = perBox.filter((spec) => spec !== scores && !isCount(spec))
  const classes =
    named(specs, settings.labelsOutput) ??
    only(rest) ??
    only(rest.filter(({ name }) => CLASS_NAME.test(name)))
  if (classes === undefined && rest.length > 0) missing('labels', specs)
  const count = only(
    specs.filter(
      (spec) => isCount(spec) && spec !== scores && spec !== classes && spec.shape.length <= 2,
    ),
  )
  const outputs = [boxes, scores, classes, count].filter((spec) => spec !== undefined)
  return {
    format: 'selected',
    outputNames: outputs.map(({ name }) => name),
    hasClasses: classes !== undefined,
    hasCount: count !== undefined,
    scores: scores.name,
    classes: undefined,
  }
}

/** The output with four numbers for each box; of several, the one whose name says so. */
function boxesOf(specs: readonly TensorSpec[], settings: TaskSettings): TensorSpec | undefined {
  const fitting = specs.filter(
    (spec) => isFloat(spec) && [2, 3].includes(spec.shape.length) && spec.shape.at(-1) === 4,
  )
  return (
    named(specs, settings.boxesOutput) ??
    only(fitting.filter((spec) => spec.name !== settings.scoresOutput)) ??
    only(fitting.filter(({ name }) => BOX_NAME.test(name))) ??
    only(specs.filter((spec) => isFloat(spec) && BOX_NAME.test(spec.name)))
  )
}

/** The output with the scores of all classes for each box. */
function scoresOf(
  specs: readonly TensorSpec[],
  settings: TaskSettings,
  boxes: TensorSpec,
): TensorSpec | undefined {
  const others = specs.filter(
    (spec) => spec !== boxes && isFloat(spec) && spec.shape.length === boxes.shape.length,
  )
  return (
    named(specs, settings.scoresOutput) ??
    only(others) ??
    only(others.filter(({ name }) => SCORES_NAME.test(name)))
  )
}

function onlyOutput(specs: readonly TensorSpec[], name: string | undefined): TensorSpec {
  const output = named(specs, name) ?? only(specs.filter(isFloat))
  if (output !== undefined) return output
  throw invalidTask(
    `the model has ${specListText(specs)}; set "output" to the one with the detections`,
  )
}

/** @throws ServerError when the model has no output of this name. */
function named(specs: readonly TensorSpec[], name: string | undefined): TensorSpec | undefined {
  if (name === undefined) return undefined
  const found = specs.find((spec) => spec.name === name)
  if (found !== undefined) return found
  throw invalidTask(`there is no output ${quote(name)}; the model has ${specListText(specs)}`)
}

function missing(role: 'boxes' | 'scores' | 'labels', specs: readonly TensorSpec[]): never {
  throw invalidTask(
    `set "${role}Output" to the output with the ${role === 'labels' ? 'class numbers' : role}; the model has ${specListText(specs)}`,
  )
}

function only<T>(list: readonly T[]): T | undefined {
  return list.length === 1 ? list[0] : undefined
}

function isFloat({ datatype }: TensorSpec): boolean {
  return datatype === 'FP16' || datatype === 'FP32' || datatype === 'FP64'
}

function sizeOf(size = -1): number | undefined {
  return size >= 0 ? size : undefined
}
