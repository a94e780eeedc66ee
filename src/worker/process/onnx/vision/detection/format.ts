/** The formats of detections, and the outputs that have them. */
import type { TaskSettings } from '../../../../../model-folder/task-settings.ts'

export type DetectionFormat = Exclude<NonNullable<TaskSettings['format']>, 'yolo'>

export interface DetectionOutputs {
  readonly format: DetectionFormat
  /**
   * The outputs to compute. YOLO: the only one. Else boxes, scores, and for `selected` the class
   * numbers and the number of detections, if the model has them.
   */
  readonly outputNames: readonly string[]
  /** For `selected`: whether the third output has class numbers. */
  readonly hasClasses: boolean
  /** For `selected`: whether the last output has the number of detections. */
  readonly hasCount: boolean
  /** Output with the scores, for messages. */
  readonly scores: string
  /** Number of classes, with that for the background; `undefined` if it is not known. */
  readonly classes: number | undefined
}
