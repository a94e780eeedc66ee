/** How the outputs of a detector become detections. It does not change after the load. */
import type { TaskSettings } from '../../../../../model-folder/task-settings.ts'
import type { TensorSpec } from '../../tensors/metadata.ts'
import { invalidTask } from '../task-errors.ts'
import type { DetectionFormat, DetectionOutputs } from './format.ts'
import type { SuppressionRules } from './nms.ts'
import { detectionOutputs } from './outputs.ts'

export type BoxForm = NonNullable<TaskSettings['boxes']>
export type Activation = NonNullable<TaskSettings['activation']>

export interface DetectionPlan extends SuppressionRules, DetectionOutputs {
  readonly boxForm: BoxForm
  readonly isNormalized: boolean
  readonly activation: Activation
  readonly background: 'first' | 'last' | 'none'
  readonly threshold: number
  readonly labels: readonly string[]
  /** What is added to a class number of the model to get a place in `labels`. */
  readonly labelShift: number
}

const DEFAULT_THRESHOLD = 0.5
const DEFAULT_IOU = 0.5
const DEFAULT_MAX_DETECTIONS = 100
const BOX_FORMS: Readonly<Record<DetectionFormat, BoxForm>> = {
  yolov5: 'centers',
  yolov8: 'centers',
  yolov10: 'corners',
  ssd: 'corners',
  detr: 'centers',
  selected: 'corners',
}
/** Formats whose models suppress overlapping boxes themselves. */
const IS_SUPPRESSED: ReadonlySet<DetectionFormat> = new Set(['yolov10', 'detr', 'selected'])
const BACKGROUND_LABEL = /^[\W_]*(background|bg|none|no[ _-]?object|n\/?a)[\W_]*$/i

/**
 * Combines the settings with the names and shapes of the outputs.
 * @param output Name of the output of a detector with a single one; `undefined` if not set.
 * @throws ServerError `InvalidModelException` that says what `model.json` must declare.
 */
export function planDetection(
  specs: readonly TensorSpec[],
  settings: TaskSettings,
  labels: readonly string[],
  output?: string,
): DetectionPlan {
  const outputs = detectionOutputs(specs, settings, labels, output)
  const { format, classes } = outputs
  const activation = settings.activation ?? activationOf(outputs, labels)
  const background = settings.background ?? backgroundOf(outputs, activation, labels)
  const skipsBackground =
    labels.length > 0 && classes !== labels.length && !BACKGROUND_LABEL.test(labels[0] ?? '')
  checkLabels(outputs, background, labels)
  return {
    ...outputs,
    boxForm: settings.boxes ?? BOX_FORMS[format],
    isNormalized: settings.normalized ?? (format === 'ssd' || format === 'detr'),
    activation,
    background,
    threshold: settings.threshold ?? DEFAULT_THRESHOLD,
    iou: settings.iou ?? (IS_SUPPRESSED.has(format) ? 1 : DEFAULT_IOU),
    perClass: settings.perClass ?? true,
    maxDetections: settings.maxDetections ?? DEFAULT_MAX_DETECTIONS,
    labels,
    labelShift: background === 'first' && skipsBackground ? -1 : 0,
  }
}

/** DETR has a class for "no object" with softmax, its successors have none and use sigmoid. */
function activationOf(
  { format, classes }: DetectionOutputs,
  labels: readonly string[],
): Activation {
  if (format !== 'detr') return 'none'
  if (labels.length > 0 && classes === labels.length) return 'sigmoid'
  if (labels.length > 0 && classes === labels.length + 1) return 'softmax'
  throw invalidTask(
    'the activation is not known; set "activation" to "softmax" if the last class is "no object", else to "sigmoid"',
  )
}

function backgroundOf(
  { format, classes }: DetectionOutputs,
  activation: Activation,
  labels: readonly string[],
): 'first' | 'last' | 'none' {
  if (format === 'detr') return activation === 'softmax' ? 'last' : 'none'
  if (format !== 'ssd') return 'none'
  const hasLabelForEach = labels.length > 0 && classes === labels.length
  return hasLabelForEach && !BACKGROUND_LABEL.test(labels[0] ?? '') ? 'none' : 'first'
}

/** @throws ServerError when the number of labels differs from the number of classes. */
function checkLabels(
  { classes, scores }: DetectionOutputs,
  background: 'first' | 'last' | 'none',
  labels: readonly string[],
): void {
  if (classes === undefined || labels.length === 0 || labels.length === classes) return
  if (background !== 'none' && labels.length === classes - 1) return
  throw invalidTask(
    `output ${JSON.stringify(scores)} has ${classes} classes, but there are ${labels.length} labels`,
  )
}
